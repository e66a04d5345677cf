"""How each predicted picture looks, so that pictures unlike gold can be noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is known about pictures that were predicted already."""
    op.add_column("proposal", sa.Column("appearance", sa.JSON(none_as_null=True), nullable=True))
