"""What the store guarantees in every kind of database."""

import random
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageRole, ImageState, JobKind, JobState
from app.services.audit import record
from app.services.reviewing import ReviewService
from app.storage import schema
from app.storage.audit import AuditEntry
from app.storage.database import open_store
from app.storage.errors import DamagedStoreError, NewerSchemaError, NoWorkspaceError
from app.storage.models import Base, Image, Job, utc_now
from tests.unit.made_workspace import changing_statement, make_reviewable, raw_connection, request
from tests.unit.test_app_storage_database import HEAD, add_migration

pytestmark = pytest.mark.usefixtures("each_database")

ANN = Actor("ann", Role.LEAD)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def store(workspace):
    made = open_store(workspace, create=True)
    yield made
    made.close()


def add_image(session: Session, name="a", created_at=None):
    session.add(
        Image(
            sha256=name, sample_id=name, path=name, width=4, height=3, role=ImageRole.POOL, state=ImageState.WAITING,
            created_at=created_at or utc_now(),
        )
    )  # fmt: skip


def test_a_missing_workspace_is_not_made_by_opening_it(workspace):
    with pytest.raises(NoWorkspaceError, match="make one with: pixelsieve import"):
        open_store(workspace)
    assert not workspace.root.exists()


def test_what_was_stored_is_there_after_reopening(workspace, store):
    with store.session() as session:
        add_image(session)
    store.close()
    with open_store(workspace).reader() as session:
        assert session.scalars(select(Image.sample_id)).all() == ["a"]


def test_a_workspace_keeps_its_id(workspace, store):
    assert len(store.workspace_id) == 32
    assert open_store(workspace).workspace_id == store.workspace_id


def test_an_error_inside_a_session_leaves_nothing_behind(store):
    with pytest.raises(RuntimeError, match="stop"), store.session() as session:
        add_image(session)
        session.flush()
        raise RuntimeError("stop")
    with store.reader() as session:
        assert session.scalars(select(Image)).all() == []


def test_the_migrations_make_exactly_the_tables_of_the_models(store):
    with store.reader() as session:
        assert compare_metadata(MigrationContext.configure(session.connection()), Base.metadata) == []


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(store):
    noon_in_berlin = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with store.session() as session:
        add_image(session, created_at=noon_in_berlin)
    with store.reader() as session:
        assert session.scalars(select(Image.created_at)).one() == datetime(2026, 7, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["update", "delete", "replace", "truncate"])
def test_no_program_can_change_or_remove_a_decision(tmp_path, kind):
    store = make_reviewable(tmp_path)
    reviewer = ReviewService(store)
    region = reviewer.region(reviewer.next_region())
    reviewer.decide(request(DecisionKind.ACCEPT, "a", region.row.image_id, 0, region_id=region.row.region_id))
    with raw_connection(store.workspace) as connection:
        before = connection.exec_driver_sql("SELECT * FROM decision").all()
        with pytest.raises(IntegrityError, match="append-only"):
            connection.exec_driver_sql(changing_statement(kind, "decision", "user", connection.dialect.name))
        connection.rollback()
        assert connection.exec_driver_sql("SELECT * FROM decision").all() == before


def test_a_word_outside_the_vocabulary_is_refused_by_the_database(workspace, store):
    row = {"sha256": "a", "sample_id": "a", "path": "a", "width": 1, "height": 1, "role": "test", "state": "open"}
    statement = text(
        f"INSERT INTO image ({', '.join(row)}, created_at) VALUES ({', '.join(f':{key}' for key in row)}, '2026-01-01')"
    )
    with raw_connection(workspace) as connection, pytest.raises(IntegrityError, match="(?i)check"):
        connection.execute(statement, row)


def test_two_images_with_the_same_bytes_are_refused(store):
    with pytest.raises(IntegrityError), store.session() as session:
        add_image(session)
        add_image(session)


def test_numbers_that_a_diverged_training_reports_are_stored_as_unknown(store):
    metrics = {"loss": float("nan"), "steps": [1.0, float("inf")], "miou": 0.25}
    with store.session() as session:
        session.add(Job(kind=JobKind.TRAIN, state=JobState.RUNNING, arguments={}, metrics=metrics))
    with store.reader() as session:
        assert session.scalars(select(Job.metrics)).one() == {"loss": None, "steps": [1.0, None], "miou": 0.25}


def test_names_sort_by_their_code_points(store):
    names = ["Zebra", "apple", "Äpfel", "a_b", "a-b", "A", "a b", "10", "9"]
    with store.session() as session:
        for name in names:
            add_image(session, name)
    with store.reader() as session:
        assert session.scalars(select(Image.sample_id).order_by(Image.sample_id)).all() == sorted(names)


def test_a_reader_sees_one_moment_while_others_write(store):
    with store.session() as session:
        add_image(session, "before")
    with store.reader() as reader:
        assert reader.scalars(select(Image.sample_id)).all() == ["before"]
        with store.session() as session:
            add_image(session, "meanwhile")
        assert reader.scalars(select(Image.sample_id)).all() == ["before"]
    with store.reader() as reader:
        assert len(reader.scalars(select(Image.sample_id)).all()) == 2


def test_nobody_sees_a_later_id_before_an_earlier_one(store):
    """Whoever knows id n has seen all that count below it: image versions are compared with it."""
    rng = random.Random(3)
    stop = threading.Event()
    seen: list[list[int]] = []

    def watch() -> None:
        while not stop.is_set():
            with store.reader() as session:
                seen.append(list(session.scalars(select(AuditEntry.id).order_by(AuditEntry.id))))

    def write(pauses: list[int]) -> None:
        for pause in pauses:
            with store.session() as session:
                record(session, ANN, AuditAction.EXPORT, "first of two")
                session.flush()
                for _ in range(pause):  # Other writers get time to overtake this one.
                    session.scalar(select(AuditEntry.id).limit(1))
                record(session, ANN, AuditAction.EXPORT, "second of two")

    watcher = threading.Thread(target=watch)
    writers = [threading.Thread(target=write, args=([rng.randrange(6) for _ in range(12)],)) for _ in range(5)]
    for thread in (watcher, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    watcher.join()
    with store.reader() as session:
        final = list(session.scalars(select(AuditEntry.id).order_by(AuditEntry.id)))
    assert len(final) == 120
    assert len(seen) > 1
    for ids in seen:
        assert ids == final[: len(ids)]


def test_a_store_of_a_later_version_is_refused_and_left_alone(workspace, store):
    store.close()
    with raw_connection(workspace) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(NewerSchemaError, match="schema 9999, which this version of Pixelsieve does not know"):
        open_store(workspace)
    with raw_connection(workspace) as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [("9999",)]


def test_the_database_of_another_program_is_refused_and_left_alone(workspace, store):
    store.close()
    with raw_connection(workspace) as connection:
        Base.metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
        connection.exec_driver_sql("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    with pytest.raises(DamagedStoreError, match=r"no Pixelsieve store.*bookmarks"):
        open_store(workspace, create=True)
    with raw_connection(workspace) as connection:
        assert connection.exec_driver_sql("SELECT * FROM bookmarks").all() == []


def test_a_migration_that_fails_leaves_the_store_as_it_was(workspace, store, tmp_path, monkeypatch):
    with store.session() as session:
        add_image(session)
    store.close()
    script = add_migration(tmp_path / "migrations")
    script.write_text(script.read_text() + '    op.execute("SELECT * FROM nowhere")\n')
    monkeypatch.setattr(schema, "MIGRATIONS", tmp_path / "migrations")
    with pytest.raises(Exception, match="nowhere"):
        open_store(workspace)
    with raw_connection(workspace) as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [(HEAD,)]
        assert "extra" not in [column["name"] for column in inspect(connection).get_columns("image")]
        assert connection.exec_driver_sql("SELECT sample_id FROM image").all() == [("a",)]
