"""Run by Alembic: applies the scripts in versions/ on the connection that app/storage/schema.py hands over."""

from alembic import context

from app.storage.models import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
