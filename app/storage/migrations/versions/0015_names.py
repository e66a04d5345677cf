"""The name of an image that people know, and that of its file, beside the id that is safe everywhere."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What was imported before keeps its id as its name: the name of the file was not written down."""
    op.add_column("image", sa.Column("name", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("image", sa.Column("file_name", sa.Text(), nullable=False, server_default=""))
    table = sa.table("image", *(sa.column(name) for name in ("id", "sample_id", "path", "name", "file_name")))
    connection = op.get_bind()
    for image_id, sample_id, path in connection.execute(sa.select(table.c.id, table.c.sample_id, table.c.path)).all():
        ending = path[path.rfind(".") :] if "." in path.rpartition("/")[2] else ""
        named = {"name": sample_id, "file_name": sample_id + ending}
        connection.execute(sa.update(table).where(table.c.id == image_id).values(named))
