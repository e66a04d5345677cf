"""What people said about parts of labels is kept like decisions: rows are added, never changed or removed."""

from app.storage.migrations.append_only import refuse_changes

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What holds a person's answer cannot be rewritten by a program either."""
    refuse_changes("part_answer", ("id",), "answers about labels are append-only: give another one")
