"""Which images no label could be proposed for, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Attempts that failed before are not known; the next prediction tries them again."""
    op.create_table(
        "failed_prediction",
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("file_mark", sa.String(64), nullable=False),
        sa.Column("failed_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_failed_prediction_image_id_image")),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_failed_prediction_model_id_model")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_failed_prediction")),
    )
