"""Images remember when their files were removed for good."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was purged so far."""
    op.add_column("image", sa.Column("purged_at", sa.DateTime(), nullable=True))
