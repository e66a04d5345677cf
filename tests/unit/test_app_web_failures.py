"""Must never happen: an acknowledged decision is lost. The server is killed, starved of disk and locked out."""

import os
import random
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.config import Workspace
from app.domain.roles import Actor, Role
from app.services.backups import write_backup
from app.services.processes import Monitor
from app.storage import sqlite
from app.storage.database import open_store
from app.storage.location import DATABASE_URL_VARIABLE
from app.storage.models import Decision
from app.web.api import create_api
from tests.postgresql import POSTGRESQL_IS_SLOW
from tests.unit.made_workspace import copy_store, make_template
from tests.unit.server_cases import ApiServer, skip_of

PEOPLE = 3
ROUNDS = 4


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), tuple(f"pool_{number}" for number in range(PEOPLE)))


def stored_ops(workspace):
    with closing(open_store(workspace)) as store, store.reader() as session:
        return list(session.scalars(select(Decision.op_id).order_by(Decision.id)))


class Browser(threading.Thread):
    """One tab: sends one decision after the other, the one without an answer first, until the server is gone."""

    def __init__(self, url, tab, view):
        super().__init__()
        self.url, self.tab, self.view = url, tab, view
        self.made = 0
        self.acknowledged = []
        self.answered = threading.Event()

    @property
    def current(self):
        return f"{self.tab}-{self.made}"

    def run(self):
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while True:
                try:
                    answer = client.post("/api/decisions", json=skip_of(self.view, self.current, self.tab))
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                self.acknowledged.append(self.current)
                self.made += 1
                self.answered.set()

    def again(self):
        """The same tab after the server came back."""
        next_life = Browser(self.url, self.tab, self.view)
        next_life.made, next_life.acknowledged = self.made, self.acknowledged
        return next_life


@pytest.mark.timeout(600)
@POSTGRESQL_IS_SLOW
@pytest.mark.usefixtures("each_database")
def test_kill_9_of_the_server_in_mid_save_keeps_every_acknowledged_decision_exactly_once(template, tmp_path):
    """Three people at once, killed at random moments; what had no answer is sent again, as browsers do."""
    store = copy_store(template, tmp_path)
    store.close()
    server, rng = ApiServer(store.workspace, tmp_path / "server.log"), random.Random(11)
    browsers = []
    for _ in range(ROUNDS):
        with server.running():
            if not browsers:
                rows = httpx.get(f"{server.url}/api/queue?limit=500").json()["rows"]
                first_of_image = {row["image_id"]: row["region_id"] for row in reversed(rows)}
                views = [httpx.get(f"{server.url}/api/regions/{region}").json() for region in first_of_image.values()]
                browsers = [Browser(server.url, f"tab-{number}", view) for number, view in enumerate(views)]
            else:
                browsers = [browser.again() for browser in browsers]
            for browser in browsers:
                browser.start()
            for browser in browsers:
                assert browser.answered.wait(60)
            killer = threading.Timer(rng.uniform(0.0, 0.5), server.kill)
            killer.start()
            for browser in browsers:
                browser.join()
            killer.join()
    stored = stored_ops(store.workspace)
    assert len(browsers) == PEOPLE and len(stored) == len(set(stored))
    for browser in browsers:
        mine = [op_id for op_id in stored if op_id.startswith(f"{browser.tab}-")]
        assert mine[: len(browser.acknowledged)] == browser.acknowledged  # All there, once, in the order of sending.
        assert mine[len(browser.acknowledged) :] in ([], [browser.current])
    if store.workspace.database.exists():
        with closing(sqlite3.connect(store.workspace.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own that is full after 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True).returncode
        == 0
    )
    if not mounted:
        pytest.skip("making a small disk needs root and the right to mount; run this test in a machine of its own")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk, leave):
    """Leave so many bytes free."""
    path = disk / "filler"
    with path.open("wb") as file:
        file.write(bytes(max(0, shutil.disk_usage(disk).free - leave)))
    return path


def decide_until_refused(client, view, tab):
    """Acknowledged ids, and the refusal."""
    acknowledged = []
    for number in range(100_000):
        answer = client.post("/api/decisions", json=skip_of(view, f"{tab}-{number}", tab))
        if answer.status_code != 200:
            return acknowledged, f"{tab}-{number}", answer
        acknowledged.append(f"{tab}-{number}")
    raise AssertionError("the disk never became full")


def test_a_disk_that_becomes_full_refuses_with_a_sentence_and_takes_the_same_decision_when_there_is_room(
    template, small_disk, tmp_path
):
    workspace = Workspace(Path(shutil.copytree(template, small_disk / "workspace")))
    filler = fill(small_disk, leave=400_000)
    server = ApiServer(workspace, tmp_path / "server.log")
    with server.running(), httpx.Client(base_url=server.url, timeout=30) as client:
        view = client.get(f"/api/regions/{client.get('/api/regions/next').json()['region_id']}").json()
        acknowledged, refused, answer = decide_until_refused(client, view, "tab")
        assert answer.status_code == 507
        assert "no room left" in answer.json()["error"] and "Nothing was saved" in answer.json()["error"]
        assert client.get("/api/queue").status_code == 200  # People can still look.
        filler.unlink()
        again = client.post("/api/decisions", json=skip_of(view, refused, "tab"))
        assert again.status_code == 200 and not again.json()["replayed"]
    assert stored_ops(workspace) == [*acknowledged, refused]
    assert len(acknowledged) > 0


def test_a_full_disk_leaves_no_half_backup_behind(template, small_disk):
    workspace = Workspace(Path(shutil.copytree(template, small_disk / "workspace")))
    store = open_store(workspace)
    fill(small_disk, leave=20_000)
    with pytest.raises(OSError, match="No space left"):
        write_backup(store, small_disk / "saved.zip", Actor("lee", Role.LEAD), Monitor())
    store.close()
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "workspace"]


def test_a_file_that_may_not_grow_refuses_with_a_sentence_and_loses_nothing(template, tmp_path):
    """As a quota or a full disk does it, on machines where no disk can be made for the test."""
    workspace = copy_store(template, tmp_path).workspace
    limit = workspace.database.stat().st_size + 200_000
    with (
        ApiServer(workspace, tmp_path / "limited.log", limit).running() as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        view = client.get(f"/api/regions/{client.get('/api/regions/next').json()['region_id']}").json()
        acknowledged, refused, answer = decide_until_refused(client, view, "tab")
        assert answer.status_code in (500, 507)  # From 500 on the browser keeps the decision.
        assert "othing was saved" in answer.json()["error"]
    with ApiServer(workspace, tmp_path / "free.log").running() as server:
        answer = httpx.post(f"{server.url}/api/decisions", json=skip_of(view, refused, "tab"), timeout=30)
        assert answer.status_code == 200
    assert stored_ops(workspace) == [*acknowledged, refused]


def test_a_database_that_another_program_locks_asks_the_browser_to_try_again(template, tmp_path, monkeypatch):
    monkeypatch.delenv(DATABASE_URL_VARIABLE, raising=False)
    monkeypatch.setattr(sqlite, "LOCK_WAIT_S", 0.05)
    workspace = copy_store(template, tmp_path).workspace
    with TestClient(create_api(workspace), base_url="http://127.0.0.1:7860") as client:
        view = client.get(f"/api/regions/{client.get('/api/regions/next').json()['region_id']}").json()
        with closing(sqlite3.connect(workspace.database)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = client.post("/api/decisions", json=skip_of(view, "op", "tab"))
            assert answer.status_code == 503
            assert "locked by another program" in answer.json()["error"]
            assert client.get("/api/queue").status_code == 200
        assert client.post("/api/decisions", json=skip_of(view, "op", "tab")).status_code == 200
    assert stored_ops(workspace) == ["op"]
