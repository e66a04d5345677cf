"""For migrations: a table that only grows. The database itself refuses to change or remove a row."""

from alembic import op


def refuse_changes(table: str, keys: tuple[str, ...], sentence: str) -> None:
    """Let rows of a table be added and nothing else.

    Args:
        table: its name.
        keys: its unique columns: writing one a second time would replace a row.
        sentence: what the database answers to a program that tries; without quotes.
    """
    if op.get_bind().dialect.name == "sqlite":
        _refuse_in_sqlite(table, keys, sentence)
    else:
        _refuse_in_postgresql(table, sentence)


def _refuse_in_sqlite(table: str, keys: tuple[str, ...], sentence: str) -> None:
    is_there = " OR ".join(f"{key} = NEW.{key}" for key in keys)
    for name, event, condition in (
        ("no_update", "UPDATE", ""),
        ("no_delete", "DELETE", ""),
        # INSERT OR REPLACE deletes without asking delete triggers unless a connection has recursive_triggers on.
        ("no_replace", "INSERT", f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {is_there})"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
        )


def _refuse_in_postgresql(table: str, sentence: str) -> None:
    op.execute(
        f"CREATE FUNCTION {table}_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{sentence}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for name, event, each in (("no_change", "UPDATE OR DELETE", "ROW"), ("no_truncate", "TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION {table}_only_grows()"
        )
