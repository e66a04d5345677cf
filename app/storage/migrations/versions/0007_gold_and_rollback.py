"""Gold labels are frozen by their hash, replaced proposals can come back, and a job measures models again."""

import sqlalchemy as sa
from alembic import op

from app.storage.migrations.words import allow_words

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Both columns stay empty for rows that exist: gold is hashed at the next look, old proposals do not come back."""
    op.add_column("image", sa.Column("label_sha256", sa.String(length=64), nullable=True))
    op.add_column("proposal", sa.Column("replaced_after", sa.Integer(), nullable=True))
    allow_words("job", "kind", ("train", "export", "predict", "coco", "round", "measure", "backup", "explore"))
