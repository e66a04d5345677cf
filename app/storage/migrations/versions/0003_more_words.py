"""Regions that test or compare, propagated decisions, and jobs that back up or fill the explorer."""

from app.storage.migrations.words import allow_words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only the lists of allowed words grow."""
    allow_words("region", "kind", ("queue", "audit", "planted", "control", "flagged"))
    allow_words(
        "decision",
        "kind",
        ("accept", "relabel", "void", "dont_know", "skip", "draw", "accept_rest", "propagate", "undo"),
    )
    allow_words("job", "kind", ("train", "export", "predict", "coco", "round", "backup", "explore"))
