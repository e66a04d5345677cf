"""Lanes of background jobs: one training at a time, and nothing short waits behind it."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huey import MemoryHuey
from huey.consumer import Consumer

from app.config import Workspace
from app.services.jobs import JobQueue
from app.services.worker import JobConsumer
from app.storage.database import open_store
from tests.unit.job_cases import JOB_DOUBLE, REPOSITORY, submit, wait_until, worker_process


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.delenv("PIXELSIEVE_QUEUE_URL", raising=False)
    place = Workspace(tmp_path / "workspace")
    open_store(place, create=True).close()
    return place


@pytest.fixture
def queue(workspace: Workspace) -> JobQueue:
    return JobQueue(workspace)


@pytest.fixture
def job_double(tmp_path: Path) -> Path:
    path = tmp_path / "job_double.py"
    path.write_text(JOB_DOUBLE)
    return path


def test_a_short_export_does_not_wait_behind_a_training(
    tmp_path: Path, workspace: Workspace, queue: JobQueue, job_double: Path
) -> None:
    training = submit(queue, "wait")
    with worker_process(tmp_path, workspace, job_double) as worker:
        wait_until(lambda: (workspace.root / "started").exists(), "the training's start")
        export = queue.submit("coco", {"name": "export"})
        wait_until(lambda: queue.get(export).is_finished, "the export's end")
        assert (queue.get(export).state, queue.get(training).state) == ("succeeded", "running")
        worker.terminate()
        assert worker.wait(30) == 0


def test_a_second_training_waits_for_the_first(
    tmp_path: Path, workspace: Workspace, queue: JobQueue, job_double: Path
) -> None:
    submit(queue, "wait")
    second = submit(queue, "succeed")
    with worker_process(tmp_path, workspace, job_double) as worker:
        wait_until(lambda: (workspace.root / "started").exists(), "the first training's start")
        export = queue.submit("coco", {"name": "export"})
        wait_until(lambda: queue.get(export).is_finished, "the export's end")
        assert queue.get(second).state == "queued"
        worker.terminate()
        worker.wait(30)


@pytest.fixture
def _own_signal_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signal_handlers")
@pytest.mark.parametrize("started", [1, 2], ids=["after the first lane", "after both"])
def test_a_worker_that_is_stopped_while_it_starts_stops(monkeypatch: pytest.MonkeyPatch, started: int) -> None:
    stopping, starts = threading.Event(), []
    consumer = JobConsumer(MemoryHuey("models"), stopping, None, beside=MemoryHuey("short"))
    start = Consumer.start

    def start_and_be_stopped(lane: Consumer) -> None:
        start(lane)
        starts.append(lane)
        if len(starts) == started:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Consumer, "start", start_and_be_stopped)
    gives_up = threading.Timer(20.0, consumer.stop_flag.set)  # Ends the loop, without stopping jobs.
    gives_up.start()
    consumer.run()
    gives_up.cancel()
    assert len(starts) == 2 and stopping.is_set()
