"""Tags of the explorer that took effect, and a weight of each image in the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every image counts once, and no tag took effect before."""
    op.add_column("image", sa.Column("queue_weight", sa.Double(), nullable=False, server_default=sa.text("1.0")))
    op.create_table(
        "applied_tag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=300), nullable=False),
        sa.Column("applied_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_applied_tag_image_id_image")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_applied_tag")),
    )
    op.create_index("ix_applied_tag_image", "applied_tag", ["image_id", "tag"], unique=True)
