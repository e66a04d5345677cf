"""Flagged areas become regions with pixels of their own; regions say whether they were decided by a propagation."""

import sqlalchemy as sa
from alembic import op

from app.storage.migrations.words import allow_words

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was flagged or propagated before."""
    op.add_column("region", sa.Column("pixels", sa.LargeBinary(), nullable=True))
    op.add_column("region", sa.Column("propagated", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_region_propagated", "region", ["propagated"],
        sqlite_where=sa.text("propagated = 1"), postgresql_where=sa.text("propagated"),
    )  # fmt: skip
    op.create_index("ix_region_kind", "region", ["kind", "state"])
    allow_words(
        "decision",
        "kind",
        ("accept", "relabel", "void", "dont_know", "skip", "draw", "accept_rest", "propagate", "flag", "undo"),
    )
