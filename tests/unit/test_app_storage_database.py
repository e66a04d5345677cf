"""Opening, protecting and migrating the store."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.states import ImageRole, ImageState
from app.storage import schema, sqlite
from app.storage.database import open_store
from app.storage.errors import DamagedStoreError, NoWorkspaceError, StoreBusyError
from app.storage.models import Image, utc_now


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


def add_image(session: Session, name="a", created_at=None):
    session.add(
        Image(
            sha256=name, sample_id=name, path=name, width=4, height=3, role=ImageRole.POOL, state=ImageState.WAITING,
            created_at=created_at or utc_now(),
        )
    )  # fmt: skip


def raw(workspace):
    return closing(sqlite3.connect(workspace.database))


def test_a_missing_workspace_is_named_with_the_command_that_makes_one(workspace):
    with pytest.raises(
        NoWorkspaceError, match=f"no Pixelsieve workspace at {workspace.root}; make one with: pixelsieve import"
    ):
        open_store(workspace)
    assert not workspace.root.exists()


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
def test_every_connection_is_durable_and_checks_references(workspace, pragma, value):
    with open_store(workspace, create=True).reader() as session:
        assert session.connection().exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_a_file_that_is_no_database_is_refused(workspace):
    workspace.root.mkdir()
    workspace.database.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DamagedStoreError, match=r"pixelsieve\.db is damaged or not a Pixelsieve store"):
        open_store(workspace)


def test_a_store_locked_by_another_program_says_so(workspace, monkeypatch):
    monkeypatch.setattr(sqlite, "LOCK_WAIT_S", 0.05)
    store = open_store(workspace, create=True)
    with raw(workspace) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(StoreBusyError, match="locked by another program.*Nothing was saved"),
            store.session() as session,
        ):
            add_image(session)
    with store.session() as session:
        add_image(session)


def test_a_store_can_be_read_while_another_program_writes(workspace):
    store = open_store(workspace, create=True)
    with raw(workspace) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with store.reader() as session:
            assert session.scalars(select(Image)).all() == []


HEAD = ScriptDirectory(str(schema.MIGRATIONS)).get_current_head()


def add_migration(folder):
    """A copy of the migrations with one more; its path."""
    shutil.copytree(schema.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    script = folder / "versions" / "9999_next.py"
    script.write_text(
        f'from alembic import op\nrevision = "9999"\ndown_revision = "{HEAD}"\n'
        'def upgrade():\n    op.execute("ALTER TABLE image ADD COLUMN extra TEXT")\n'
    )
    return script


def test_an_older_store_is_copied_before_it_is_migrated(workspace, tmp_path, monkeypatch):
    store = open_store(workspace, create=True)
    with store.session() as session:
        add_image(session)
    store.close()
    add_migration(tmp_path / "migrations")
    monkeypatch.setattr(schema, "MIGRATIONS", tmp_path / "migrations")
    open_store(workspace).close()
    (copy,) = workspace.root.glob(f"pixelsieve.db.before-*-from-{HEAD}")
    for path, version, extra in ((workspace.database, "9999", 1), (copy, HEAD, 0)):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (version,)
            assert connection.execute("SELECT sample_id FROM image").fetchall() == [("a",)]
            columns = [row[1] for row in connection.execute("PRAGMA table_info(image)")]
            assert columns.count("extra") == extra


def open_with_version(workspace, tmp_path, monkeypatch, revision):
    """What opening a workspace does in an earlier version of the program."""
    older = tmp_path / f"older-{revision}"
    shutil.copytree(schema.MIGRATIONS, older, ignore=shutil.ignore_patterns("__pycache__"))
    for script in (older / "versions").glob("*.py"):
        if script.name[:4] > revision:
            script.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", older)
        open_store(workspace, create=True).close()


def make_store_of_version(workspace, tmp_path, monkeypatch, revision):
    """A store as an earlier version of the program left it, with one region and two decisions about it."""
    open_with_version(workspace, tmp_path, monkeypatch, revision)
    with raw(workspace) as connection:
        for statement in (
            "INSERT INTO image VALUES (1, 'a', 'a', 'a', 4, 3, 'pool', NULL, NULL, 'open', '2026-01-01', NULL)",
            "INSERT INTO model VALUES (1, 1, 'm', 'h', NULL, 'current', 'csl', NULL, '2026-01-01', NULL)",
            "INSERT INTO proposal VALUES (1, 1, 1, 'p', '2026-01-01', 1)",
            "INSERT INTO region VALUES (1, 1, 1, 1, 'queue', 0, 9, 0, 0, 3, 3, 0.5, 1.0, '[]', 'open', NULL)",
            "INSERT INTO region VALUES (2, 1, 1, 2, 'queue', 0, 9, 0, 0, 3, 3, 0.5, 1.0, '[]', 'open', 1)",
            "INSERT INTO decision VALUES (5, 'one', 1, 1, 'accept', 1, NULL, NULL, NULL, 'u', 's', 1, 0, '{}', 't')",
            "INSERT INTO decision VALUES (9, 'two', 1, 2, 'undo', 0, NULL, 'one', NULL, 'u', 's', 1, 0, '{}', 't')",
        ):
            connection.execute(statement)
        connection.commit()


def test_a_store_of_an_earlier_version_keeps_rows_indexes_and_triggers(workspace, tmp_path, monkeypatch):
    make_store_of_version(workspace, tmp_path, monkeypatch, "0002")
    kept = "SELECT type, name FROM sqlite_master WHERE type != 'table' ORDER BY name"
    tables = ("image", "model", "proposal", "region", "decision")
    with raw(workspace) as connection:
        parts = connection.execute(kept).fetchall()
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    open_store(workspace).close()
    with raw(workspace) as connection:
        assert set(parts) <= set(connection.execute(kept).fetchall())
        for table in tables:
            found = connection.execute(f"SELECT * FROM {table}").fetchall()
            assert [row[: len(old)] for row, old in zip(found, rows[table], strict=True)] == rows[table]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("UPDATE region SET kind = 'audit'")
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            connection.execute("UPDATE region SET kind = 'test'")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("DELETE FROM decision")


def test_images_of_an_earlier_version_are_called_by_their_ids(workspace, tmp_path, monkeypatch):
    make_store_of_version(workspace, tmp_path, monkeypatch, "0002")
    with raw(workspace) as connection:
        connection.execute("UPDATE image SET path = 'images/ab/ab12.jpg'")
        connection.commit()
    with open_store(workspace).reader() as session:
        (image,) = session.scalars(select(Image))
    assert (image.sample_id, image.name, image.file_name) == ("a", "a", "a.jpg")


def test_probes_of_the_version_that_gave_them_to_persons_stand_in_everybodys_queue(workspace, tmp_path, monkeypatch):
    """Audits that wait, given or not, are spread over the queue; errors planted in unlisted images end."""
    make_store_of_version(workspace, tmp_path, monkeypatch, "0002")
    open_with_version(workspace, tmp_path, monkeypatch, "0012")
    with raw(workspace) as connection:
        copied = "proposal_id, image_id, class_id, area, x0, y0, x1, y1, mean_confidence, top_classes, propagated"
        for statement in (
            "UPDATE image SET state = 'done'",
            "INSERT INTO setting VALUES ('trust', '{\"audit_share\": 0.1, \"seed\": 5}', '2026-01-01')",
            "INSERT INTO image (id, sha256, sample_id, path, width, height, role, state, created_at, queue_weight)"
            " VALUES (2, 'b', 'b', 'b', 4, 3, 'labeled', 'done', '2026-01-01', 1)",
            "INSERT INTO proposal (id, image_id, model_id, folder, created_at, active, replaced_after)"
            " VALUES (2, 2, 1, 'q', '2026-01-01', 1, NULL), (3, 2, 1, 'r', '2026-01-01', 0, 9)",
            *(
                f"INSERT INTO region (id, number, kind, score, state, {copied})"
                f" SELECT {number}, {number}, '{kind}', {score}, '{state}', {copied} FROM region WHERE id = 1"
                for number, kind, score, state in (
                    (3, "audit", 700, "open"), (4, "audit", 3, "held"), (5, "planted", 700, "open"),
                    (6, "control", 0, "held"), (7, "audit", 2, "decided"),
                )
            ),
            "UPDATE region SET proposal_id = 2, image_id = 2 WHERE kind = 'planted'",
            *(
                f"INSERT INTO probe (region_id, kind, draw_order, chance, facts, is_active, person, place, is_filtered)"
                f" VALUES ({number}, '{kind}', 0.{number}, '{{}}', '{{}}', {active}, {person}, {place}, 0)"
                for number, kind, active, person, place in (
                    (3, "audit", 1, "'ann'", 4), (4, "audit", 0, "NULL", "NULL"), (5, "planted", 1, "'ann'", 5),
                    (6, "control", 0, "NULL", "NULL"), (7, "audit", 1, "'ben'", 1),
                )
            ),
        ):  # fmt: skip
            connection.execute(statement)
        connection.commit()
    open_with_version(workspace, tmp_path, monkeypatch, "0018")
    with raw(workspace) as connection:
        assert connection.execute("SELECT * FROM decoy_image").fetchall() == []
        connection.execute("INSERT INTO decoy_image VALUES (2, 5, 0.04, '2026-01-01')")
        connection.commit()
    open_store(workspace).close()
    with raw(workspace) as connection:
        rows = connection.execute("SELECT id, state, is_asked_regardless, score FROM region ORDER BY id").fetchall()
        states = {number: state for number, state, _, _ in rows}
        assert states == {1: "open", 2: "open", 3: "open", 4: "held", 5: "superseded", 6: "open", 7: "decided"}
        assert all(regardless for number, _, regardless, _ in rows if number in (3, 4, 7))
        assert all(score <= 1.01 for number, _, _, score in rows if number in (3, 6))
        assert dict(connection.execute("SELECT region_id, is_active FROM probe")) == {3: 1, 4: 0, 5: 1, 6: 1, 7: 1}
        assert dict(connection.execute("SELECT id, state FROM image")) == {1: "enough", 2: "done"}
        ended = connection.execute("SELECT active, replaced_after FROM proposal WHERE image_id = 2").fetchall()
        assert ended == [(0, None), (0, None)]
        assert connection.execute("SELECT * FROM decoy_image").fetchall() == [(2,)]
        (trust,) = connection.execute("SELECT value FROM setting WHERE key = 'trust'").fetchone()
        assert json.loads(trust) == {"audit_share": 0.1, "seed": 5, "mixed_up_to": 3}


def test_a_store_whose_rows_refer_to_nothing_is_not_migrated(workspace, tmp_path, monkeypatch):
    make_store_of_version(workspace, tmp_path, monkeypatch, "0002")
    with raw(workspace) as connection:
        connection.execute("UPDATE region SET origin_id = 77 WHERE id = 2")
        connection.commit()
    with pytest.raises(DamagedStoreError, match="a row of table region refers to a row of region that is not there"):
        open_store(workspace)
    with raw(workspace) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)
