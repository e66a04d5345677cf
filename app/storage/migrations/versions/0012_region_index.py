"""Find an image's regions in their order, and count probes without reading rows."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The index of an image's regions holds what they are sorted and counted by."""
    op.drop_index("ix_region_image", "region")
    op.create_index("ix_region_image", "region", ["image_id", "state", "score", "kind"])
