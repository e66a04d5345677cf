"""How a model sees each image, so that images unlike gold can be noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is known about proposals that are there already."""
    op.add_column("proposal", sa.Column("file_coverage", sa.Double(), nullable=True))
    op.add_column("proposal", sa.Column("mean_wrong", sa.Double(), nullable=True))
