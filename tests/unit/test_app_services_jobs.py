"""Background jobs: what the rows say at every moment, and that no process is left behind."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from app.config import Workspace
from app.domain.states import JobState, ModelStatus
from app.services import jobs as jobs_module
from app.services.jobs import DEAD_AFTER_S, JobQueue, bury_dead_jobs
from app.services.queueing import Lane, job_task, open_queue, safe_url, waiting_job_ids
from app.services.worker import JobSupervisor, requeue_lost_jobs
from app.services.worker_lock import announced, worker_is_running
from app.storage.database import Store, open_store
from app.storage.location import DATABASE_URL_VARIABLE
from app.storage.models import Job, utc_now
from tests.postgresql import POSTGRESQL_IS_SLOW
from tests.unit.job_cases import JOB_DOUBLE, REPOSITORY, WORKER_DOUBLE, submit, wait_until, worker_process
from tests.unit.made_workspace import add_model

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def store(workspace: Workspace) -> Iterator[Store]:
    store = open_store(workspace, create=True)
    yield store
    store.close()


@pytest.fixture
def queue(workspace: Workspace, store: Store) -> JobQueue:
    return JobQueue(workspace, store=store)


@pytest.fixture
def job_double(tmp_path: Path) -> Path:
    path = tmp_path / "job_double.py"
    path.write_text(JOB_DOUBLE)
    return path


@pytest.fixture
def supervisor(workspace: Workspace, store: Store, job_double: Path) -> JobSupervisor:
    def command(job_id: int) -> list[str]:
        return [sys.executable, str(job_double), str(workspace.root), str(job_id), str(os.getpid())]

    return JobSupervisor(store, workspace, command, threading.Event(), grace_s=20.0)


@pytest.fixture(autouse=True)
def importable_from_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.delenv("PIXELSIEVE_QUEUE_URL", raising=False)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def supervised(supervisor: JobSupervisor, job_id: int, workspace: Workspace) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=supervisor.run, args=(job_id,))
    thread.start()
    wait_until(lambda: (workspace.root / "started").exists(), "the job's start")
    try:
        yield thread
    finally:
        thread.join(30)


# Submitting


@pytest.mark.parametrize(
    ("kind", "arguments", "sentence"),
    [
        pytest.param("bake", {}, "unknown kind of job 'bake'; choose one of train, export", id="unknown-kind"),
        pytest.param(
            "round", {"epochs": 3}, "argument 'epochs'.*preset, overrides, from_scratch", id="unknown-argument"
        ),
        pytest.param("round", {"preset": "../evil"}, "preset '../evil' is not allowed: use", id="preset-is-a-path"),
        pytest.param("coco", {"name": "../../etc"}, "name '../../etc' is not", id="export-name-leaves-the-folder"),
        pytest.param("coco", {"name": "my export"}, "use 1-64 letters .a-z., digits, - and _", id="export-in-words"),
        pytest.param("coco", {"name": "a", "which": "some"}, "argument 'which'", id="unknown-choice"),
        pytest.param("predict", {"model_id": "x"}, "argument 'model_id'", id="no-number"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_is_queued(
    queue: JobQueue, kind: str, arguments: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        queue.submit(kind, arguments)
    assert queue.list() == []


def test_a_round_is_refused_while_another_waits_for_a_decision(queue: JobQueue, store: Store) -> None:
    add_model(store, ModelStatus.CANDIDATE)
    with pytest.raises(ValueError, match="round 1 waits for a decision.*promote or discard it first"):
        queue.submit("round")
    assert queue.list() == []


def test_a_prediction_is_queued_while_a_round_waits_for_a_decision(queue: JobQueue, store: Store) -> None:
    add_model(store, ModelStatus.CANDIDATE)
    assert queue.get(queue.submit("predict")).state == "queued"


def test_a_submitted_job_waits_with_its_arguments(queue: JobQueue) -> None:
    view = queue.get(queue.submit("predict", {"model_id": 3}))
    assert (view.kind, view.state, view.arguments) == ("predict", "queued", {"model_id": 3})


def test_queued_messages_are_json_because_pickle_would_run_code(workspace: Workspace, queue: JobQueue) -> None:
    job_id = queue.submit("predict")
    with contextlib.closing(sqlite3.connect(workspace.job_queue)) as database:
        (data,) = database.execute("SELECT data FROM task").fetchone()
    assert [job_id] in json.loads(bytes(data))["message"]


def test_an_unreachable_queue_fails_the_job_with_a_sentence(workspace: Workspace, store: Store) -> None:
    queue = JobQueue(workspace, "redis://user:secret@127.0.0.1:1/0", store)
    with pytest.raises(RuntimeError, match="redis://127.0.0.1:1/0 cannot be reached"):
        queue.submit("predict")
    assert queue.list()[0].state == JobState.FAILED


def test_messages_never_show_the_password_of_the_queue() -> None:
    assert safe_url("redis://user:secret@queue.example:6379/2") == "redis://queue.example:6379/2"


def test_a_url_that_is_no_redis_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="must start with redis://"):
        open_queue(workspace, "http://somewhere/")


def test_workspaces_do_not_share_a_queue_on_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATABASE_URL_VARIABLE, raising=False)  # A database holds one workspace, this test has two.
    names = set()
    for name in ("a", "b"):
        place = Workspace(tmp_path / name)
        open_store(place, create=True).close()
        names.add(open_queue(place).name)
    assert len(names) == 2


def test_an_unknown_job_is_a_lookup_error(queue: JobQueue) -> None:
    with pytest.raises(LookupError, match="there is no job 99"):
        queue.get(99)


# Running


def test_a_job_that_succeeds_keeps_result_and_log(queue: JobQueue, supervisor: JobSupervisor) -> None:
    job_id = submit(queue, "succeed")
    supervisor.run(job_id)
    view = queue.get(job_id)
    assert (view.state, view.result, view.error) == ("succeeded", {"answer": 42}, None)
    assert "all went well" in queue.log_tail(job_id)
    assert queue.log_tail(job_id).splitlines()[-1] == "100 % finished"


@pytest.mark.parametrize(
    ("what", "error"),
    [
        pytest.param("refuse", "there is nothing to train on", id="foreseen"),
        pytest.param("bug", "unexpected TypeError: a bug. The job's log has the details.", id="unforeseen"),
        pytest.param("crash", "the job's process ended with exit code 7", id="process-died"),
    ],
)
def test_a_job_that_fails_says_why_in_one_sentence(
    queue: JobQueue, supervisor: JobSupervisor, what: str, error: str
) -> None:
    job_id = submit(queue, what)
    supervisor.run(job_id)
    view = queue.get(job_id)
    assert view.state == "failed"
    assert (view.error or "").startswith(error)


def test_progress_and_numbers_of_a_running_job_are_in_its_row(
    queue: JobQueue, supervisor: JobSupervisor, workspace: Workspace
) -> None:
    job_id = submit(queue, "wait")
    with supervised(supervisor, job_id, workspace):
        view = queue.get(job_id)
        queue.cancel(job_id)
    assert (view.state, view.progress_done, view.progress_total) == ("running", 1, 4)
    assert (view.message, view.metrics) == ("first quarter", {"loss": 0.25})


def test_cancelling_a_running_job_stops_its_child_too(
    queue: JobQueue, supervisor: JobSupervisor, workspace: Workspace
) -> None:
    job_id = submit(queue, "child")
    with supervised(supervisor, job_id, workspace):
        wait_until(
            lambda: (workspace.root / "pid").exists() and (workspace.root / "pid").read_text() != "", "the child"
        )
        assert queue.cancel(job_id).cancel_requested
    assert queue.get(job_id).state == "cancelled"
    assert is_gone(int((workspace.root / "pid").read_text()))


def test_a_waiting_job_that_is_cancelled_never_starts(
    queue: JobQueue, supervisor: JobSupervisor, workspace: Workspace
) -> None:
    job_id = submit(queue, "succeed")
    queue.cancel(job_id)
    supervisor.run(job_id)
    assert queue.get(job_id).state == "cancelled"
    assert not (workspace.root / "started").exists()


def test_a_finished_job_is_not_run_again_when_its_message_comes_twice(
    queue: JobQueue, supervisor: JobSupervisor, workspace: Workspace
) -> None:
    job_id = submit(queue, "succeed")
    supervisor.run(job_id)
    (workspace.root / "started").unlink()
    supervisor.run(job_id)
    assert not (workspace.root / "started").exists()


def test_cancelling_a_finished_job_changes_nothing(queue: JobQueue, supervisor: JobSupervisor) -> None:
    job_id = submit(queue, "succeed")
    supervisor.run(job_id)
    assert queue.cancel(job_id).state == "succeeded"


# Dying


def test_a_running_job_without_a_sign_of_life_is_failed_with_a_sentence(queue: JobQueue, store: Store) -> None:
    job_id = submit(queue, "wait")
    long_ago = utc_now() - timedelta(seconds=DEAD_AFTER_S + 1)
    with store.session() as session:
        session.execute(update(Job).values(state=JobState.RUNNING, heartbeat_at=long_ago))
    view = queue.get(job_id)
    assert (view.state, view.error) == ("failed", jobs_module.WORKER_DIED)


def test_a_running_job_with_a_recent_sign_of_life_is_left_alone(queue: JobQueue, store: Store) -> None:
    submit(queue, "wait")
    with store.session() as session:
        session.execute(update(Job).values(state=JobState.RUNNING, heartbeat_at=utc_now()))
    assert bury_dead_jobs(store) == []


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_clock_that_was_set_does_not_kill_the_job_of_a_living_worker(
    queue: JobQueue, store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    job_id = submit(queue, "wait")
    with announced(workspace):
        with store.session() as session:
            session.execute(update(Job).values(state=JobState.RUNNING, heartbeat_at=utc_now() - jump))
        assert queue.get(job_id).state == "running"
        with store.session() as session:  # Its worker signs again, by the clock as it is now.
            session.execute(update(Job).values(heartbeat_at=utc_now()))
        monkeypatch.setattr(jobs_module, "CONFIRM_S", 0.0)
        assert queue.get(job_id).state == "running"


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_job_whose_worker_was_replaced_is_failed_whatever_the_clock_says(
    queue: JobQueue, store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    job_id = submit(queue, "wait")
    with store.session() as session:
        session.execute(update(Job).values(state=JobState.RUNNING, heartbeat_at=utc_now() - jump))
    with announced(workspace):
        assert queue.get(job_id).state == "running"
        monkeypatch.setattr(jobs_module, "CONFIRM_S", 0.0)
        assert queue.get(job_id).state == "failed"


def test_a_job_that_was_declared_dead_is_stopped_by_its_worker(
    queue: JobQueue, supervisor: JobSupervisor, workspace: Workspace, store: Store
) -> None:
    job_id = submit(queue, "wait")
    with supervised(supervisor, job_id, workspace) as thread:
        with store.session() as session:
            session.execute(update(Job).values(state=JobState.FAILED, error="declared dead"))
        thread.join(20)
        assert not thread.is_alive()
    assert queue.get(job_id).error == "declared dead"


@POSTGRESQL_IS_SLOW
def test_a_killed_worker_leaves_no_process_behind_and_its_job_fails(
    tmp_path: Path, workspace: Workspace, queue: JobQueue, job_double: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(queue, "child")
    with worker_process(tmp_path, workspace, job_double) as worker:
        wait_until(
            lambda: (workspace.root / "pid").exists() and (workspace.root / "pid").read_text() != "", "the child"
        )
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    wait_until(lambda: is_gone(int((workspace.root / "pid").read_text())), "the child's end")
    assert not worker_is_running(workspace)
    monkeypatch.setattr(jobs_module, "DEAD_AFTER_S", 0.0)
    assert queue.get(job_id).state == "failed"


@POSTGRESQL_IS_SLOW
def test_a_worker_that_is_stopped_cancels_its_job_and_ends(
    tmp_path: Path, workspace: Workspace, queue: JobQueue, job_double: Path
) -> None:
    job_id = submit(queue, "child")
    with worker_process(tmp_path, workspace, job_double) as worker:
        wait_until(
            lambda: (workspace.root / "pid").exists() and (workspace.root / "pid").read_text() != "", "the child"
        )
        worker.terminate()
        assert worker.wait(30) == 0
    view = queue.get(job_id)
    assert (view.state, "worker was stopped" in (view.error or "")) == ("cancelled", True)
    assert is_gone(int((workspace.root / "pid").read_text()))


def test_a_worker_ends_with_the_process_it_belongs_to(tmp_path: Path, workspace: Workspace, job_double: Path) -> None:
    open_store(workspace, create=True).close()
    nobody = "1" if os.getppid() != 1 else "2"
    script = tmp_path / "worker_double.py"
    script.write_text(WORKER_DOUBLE)
    worker = subprocess.run([sys.executable, str(script), str(workspace.root), str(job_double), nobody], timeout=60)
    assert worker.returncode == 0


def test_jobs_that_the_queue_forgot_are_sent_again(workspace: Workspace, store: Store, queue: JobQueue) -> None:
    job_ids = [queue.submit("predict"), queue.submit("coco", {"name": "export"})]
    queues = {lane: open_queue(workspace, lane=lane) for lane in Lane}
    for huey in queues.values():
        huey.storage.flush_queue()
    assert requeue_lost_jobs(store, queues, {lane: job_task(huey) for lane, huey in queues.items()}) == job_ids
    assert [waiting_job_ids(queues[lane]) for lane in (Lane.MODELS, Lane.SHORT)] == [{job_ids[0]}, {job_ids[1]}]


def test_jobs_that_still_wait_in_the_queue_are_not_sent_twice(
    workspace: Workspace, store: Store, queue: JobQueue
) -> None:
    queue.submit("predict")
    queue.submit("coco", {"name": "export"})
    queues = {lane: open_queue(workspace, lane=lane) for lane in Lane}
    assert requeue_lost_jobs(store, queues, {lane: job_task(huey) for lane, huey in queues.items()}) == []
