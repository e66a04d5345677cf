"""The threshold at which a proposal was cut, who chose which one for a model, and a job that cuts the queue anew."""

import sqlalchemy as sa
from alembic import op

from app.storage.migrations.words import allow_words

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every proposal so far was cut as the model file says, and nobody chose otherwise."""
    op.add_column("proposal", sa.Column("threshold", sa.Double(), nullable=True))
    op.create_table(
        "threshold_choice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("chosen_by", sa.String(length=255), nullable=False),
        sa.Column("chosen_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_threshold_choice_model_id_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_threshold_choice")),
    )
    op.create_index("ix_threshold_choice_model", "threshold_choice", ["model_id", "id"])
    allow_words("job", "kind", ("train", "export", "predict", "recut", "coco", "round", "measure", "backup", "explore"))
