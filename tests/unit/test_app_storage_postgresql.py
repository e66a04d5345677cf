"""What is different with PostgreSQL: URLs, the note in the folder, locks, lost connections."""

import json
import threading
from contextlib import closing

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, func, select

from app.config import Workspace
from app.domain.states import DecisionKind
from app.services.reviewing import ReviewService
from app.storage import postgresql, schema
from app.storage.database import open_store
from app.storage.errors import NoWorkspaceError, StoreBusyError, StoreError, StoreUnreachableError
from app.storage.location import DATABASE_URL_VARIABLE
from app.storage.models import Decision, Setting
from app.web.api import create_api
from tests.postgresql import PostgresqlServer
from tests.unit.made_workspace import make_reviewable, request
from tests.unit.test_app_storage_database import HEAD, add_image, add_migration


@pytest.fixture(autouse=True)
def _no_url_from_outside(monkeypatch):
    monkeypatch.delenv(DATABASE_URL_VARIABLE, raising=False)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def own_server(postgresql_server):
    """A server that the test may stop."""
    server = PostgresqlServer(postgresql_server.programs)
    server.make()
    yield server
    server.remove()


def raw(url):
    """A connection of another program."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    return closing(engine.connect())


def test_a_workspace_knows_where_its_rows_are(workspace, postgresql_server):
    url = postgresql_server.new_database()
    made = open_store(workspace, create=True, url=url)
    with made.session() as session:
        add_image(session)
    made.close()
    opened = open_store(workspace)
    assert opened.workspace_id == made.workspace_id
    assert "postgresql://" in opened.database_name
    assert not workspace.database.exists()


def test_the_note_holds_no_password_and_neither_do_messages(workspace, postgresql_server):
    url = postgresql_server.new_database().replace("pixelsieve@", "pixelsieve:secret@")
    store = open_store(workspace, create=True, url=url)
    assert "secret" not in workspace.database_note.read_text()
    assert "secret" not in store.database_name


def test_the_environment_wins_over_the_note(workspace, postgresql_server, monkeypatch):
    url = postgresql_server.new_database()
    open_store(workspace, create=True, url=url).close()
    note = json.loads(workspace.database_note.read_text())
    workspace.database_note.write_text(json.dumps({**note, "url": "postgresql://nowhere.invalid/moved"}))
    monkeypatch.setenv(DATABASE_URL_VARIABLE, url)
    assert open_store(workspace).workspace_id == note["workspace_id"]


def test_rows_of_another_workspace_are_refused(workspace, tmp_path, postgresql_server):
    url = postgresql_server.new_database()
    open_store(workspace, create=True, url=url).close()
    with pytest.raises(StoreError, match="holds the rows of another workspace"):
        open_store(Workspace(tmp_path / "other"), create=True, url=url)
    assert not Workspace(tmp_path / "other").database_note.exists()


def test_a_sqlite_workspace_is_not_opened_with_a_url(workspace, postgresql_server):
    open_store(workspace, create=True).close()
    with pytest.raises(StoreError, match=r"keeps its rows in pixelsieve\.db.*pixelsieve backup"):
        open_store(workspace, url=postgresql_server.new_database())


def test_a_database_that_was_emptied_is_not_taken_for_a_new_workspace(workspace, postgresql_server, monkeypatch):
    open_store(workspace, create=True, url=postgresql_server.new_database()).close()
    monkeypatch.setenv(DATABASE_URL_VARIABLE, postgresql_server.new_database(is_empty=True))
    with pytest.raises(NoWorkspaceError, match="is empty, although a workspace had its rows there.*pixelsieve restore"):
        open_store(workspace)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://u:secret@host/db", "must start with postgresql://"),
        ("sqlite:///x.db", "Without a URL the rows are in a SQLite file"),
        ("postgresql//u:secret@", "cannot be read; write it as"),
        ("postgresql://u:secret@127.0.0.1:1/db", r"u:\*\*\*@127.0.0.1:1/db cannot be reached"),
    ],
    ids=["mysql", "sqlite", "broken", "unreachable"],
)
def test_a_wrong_url_is_a_sentence_without_its_password(workspace, url, sentence):
    with pytest.raises(StoreError, match=sentence) as raised:
        open_store(workspace, create=True, url=url)
    assert "secret" not in str(raised.value)


def test_commits_wait_for_the_disk_whatever_the_servers_default(workspace, postgresql_server):
    store = open_store(workspace, create=True, url=postgresql_server.new_database())
    with store.session() as session:
        assert session.connection().exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_lock_that_is_held_for_too_long_says_so(workspace, postgresql_server, monkeypatch):
    monkeypatch.setitem(postgresql._SETTINGS, "lock_timeout", "50ms")
    url = postgresql_server.new_database()
    store = open_store(workspace, create=True, url=url)
    with raw(url) as other:
        other.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('pixelsieve'), hashtext(current_schema()))")
        with (
            pytest.raises(StoreBusyError, match=r"locked by another program.*Nothing was saved"),
            store.session() as session,
        ):
            add_image(session)
    with store.session() as session:
        add_image(session)


def test_a_writer_that_was_suspended_does_not_block_the_others_for_ever(workspace, postgresql_server, monkeypatch):
    monkeypatch.setattr(
        postgresql,
        "_TAKE_WRITE_LOCK",
        postgresql._TAKE_WRITE_LOCK.replace(f"'{postgresql.FORGOTTEN_WRITER_S}s'", "'50ms'"),
    )
    store = open_store(workspace, create=True, url=postgresql_server.new_database())
    others_are_done = threading.Event()

    def suspended() -> None:
        with pytest.raises(StoreUnreachableError, match="Nothing is known to be saved"), store.session() as session:
            add_image(session, "never")
            session.flush()
            others_are_done.wait(30)
            session.scalar(select(func.count()).select_from(Setting))

    thread = threading.Thread(target=suspended)
    with store.reader() as session:
        before = session.scalar(select(func.count()).select_from(Setting))
    thread.start()
    with closing(open_store(workspace)) as of_another_process, of_another_process.session() as session:
        session.add(Setting(key="written meanwhile", value=1))
    others_are_done.set()
    thread.join()
    with store.reader() as session:
        assert session.scalar(select(func.count()).select_from(Setting)) == (before or 0) + 1


def test_rows_are_kept_as_text_before_tables_change(workspace, tmp_path, postgresql_server, monkeypatch):
    store = open_store(workspace, create=True, url=postgresql_server.new_database())
    with store.session() as session:
        add_image(session)
    store.close()
    add_migration(tmp_path / "migrations")
    monkeypatch.setattr(schema, "MIGRATIONS", tmp_path / "migrations")
    open_store(workspace).close()
    (copy,) = workspace.root.glob(f"postgresql.before-*-from-{HEAD}.jsonl.gz")
    assert copy.stat().st_size > 0


def test_a_decision_in_a_lost_connection_is_stored_once_when_it_is_sent_again(tmp_path, own_server, monkeypatch):
    monkeypatch.setenv(DATABASE_URL_VARIABLE, own_server.new_database())
    store = make_reviewable(tmp_path)
    reviewer = ReviewService(store)
    region = reviewer.region(reviewer.next_region()).row
    sent = request(DecisionKind.ACCEPT, "op", region.image_id, 0, region_id=region.region_id)
    own_server.stop(at_once=True)
    with pytest.raises(StoreUnreachableError, match=r"cannot be reached.*start it"):
        reviewer.decide(sent)
    own_server.start()
    assert not reviewer.decide(sent).replayed
    own_server.stop(at_once=True)
    own_server.start()
    assert reviewer.decide(sent).replayed
    with store.reader() as session:
        assert session.scalars(select(Decision.op_id)).all() == ["op"]


def test_the_browser_is_told_to_try_again_while_the_database_is_away(tmp_path, own_server, monkeypatch):
    monkeypatch.setenv(DATABASE_URL_VARIABLE, own_server.new_database())
    make_reviewable(tmp_path).close()
    with TestClient(create_api(Workspace(tmp_path / "workspace")), base_url="http://127.0.0.1:7860") as client:
        own_server.stop(at_once=True)
        answer = client.post("/api/undo", json={"op_id": "a", "session": "tab"})
        assert answer.status_code == 503
        assert "cannot be reached" in answer.json()["error"]
        own_server.start()
        assert client.get("/api/queue").status_code == 200
