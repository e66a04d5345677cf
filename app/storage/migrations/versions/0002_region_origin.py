"""Regions remember which region of an earlier proposal they stand for."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; regions that exist stand for themselves."""
    # Written out: SQLite adds a foreign key only together with its column, which Alembic's own operation does not do.
    op.execute(
        "ALTER TABLE region ADD COLUMN origin_id INTEGER CONSTRAINT fk_region_origin_id_region REFERENCES region (id)"
    )
