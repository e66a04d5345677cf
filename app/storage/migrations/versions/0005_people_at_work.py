"""Images belong to somebody, and people can say something about them."""

import sqlalchemy as sa
from alembic import op

from app.storage.migrations.append_only import refuse_changes

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Images that exist are nobody's; there are no comments yet."""
    op.add_column("image", sa.Column("assignee", sa.String(length=255), nullable=True))
    op.create_index(op.f("ix_image_assignee"), "image", ["assignee"])
    op.create_table(
        "comment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("region_id", sa.Integer(), nullable=True),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("text", sa.String(length=2000), nullable=False),
        sa.Column("is_question", sa.Boolean(), nullable=False),
        sa.Column("closes_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["closes_id"], ["comment.id"], name=op.f("fk_comment_closes_id_comment")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_comment_image_id_image")),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name=op.f("fk_comment_region_id_region")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comment")),
        sa.UniqueConstraint("closes_id", name=op.f("uq_comment_closes_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_comment_image", "comment", ["image_id", "id"])
    refuse_changes("comment", ("id",), "comments are append-only: write another one instead of changing one")
