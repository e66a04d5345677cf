"""Decoys are a list of images: what was planted in one, and by which chance, stands with each planted error."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing ever read these columns."""
    for name in ("seed", "share", "chosen_at"):
        op.drop_column("decoy_image", name)
