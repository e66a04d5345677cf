"""A round that is killed, cancelled, diverges or meets a full disk or changed gold replaces no working model."""

import errno
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from PIL import Image as Picture
from sqlalchemy import event

from app.domain.states import ModelStatus
from app.services import gold as gold_module
from app.services import gold_files, jobs, predicting
from app.services.gold import gold_images
from app.services.jobs import JobQueue
from app.services.predicting import predict_pool
from app.services.round_folder import RoundState, round_folders
from app.storage import planes
from app.storage.database import Store
from app.storage.errors import DiskFullError
from app.storage.models import Image, Proposal
from datasets import files
from tests.unit.job_cases import wait_until, worker_process
from tests.unit.made_workspace import copy_store
from tests.unit.round_cases import FakeCommands, FakePredictor, everything, import_pictures, models_by_round, run

ROUND_JOB = """
import pathlib, sys
from unittest.mock import patch
from app.config import Workspace
from app.services import gold
from app.services.job_process import run_job
from app.services.round_steps import RoundRequest
from app.services.rounds import start_round
from tests.unit.round_cases import FakeCommands, FakePredictor

def work(store, workspace, arguments, monitor):
    commands = FakeCommands(workspace.root / "started", "wait")
    return {"model_id": start_round(store, workspace, RoundRequest(), monitor, commands)}

with patch.object(gold, "load_predictor", FakePredictor):
    sys.exit(run_job(Workspace(pathlib.Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), lambda kind: work))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported")
    import_pictures(root / "source", root / "workspace")
    return root / "workspace"


@pytest.fixture
def store(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A workspace with a current model and its proposals."""
    monkeypatch.setattr(gold_module, "load_predictor", FakePredictor)
    monkeypatch.setattr(predicting, "load_predictor", FakePredictor)
    store = copy_store(imported, tmp_path)
    run(store, FakeCommands(tmp_path / "first"))
    predict_pool(store, store.workspace, None, lambda progress: None, lambda: False)
    yield store
    store.close()


@pytest.fixture
def commands(tmp_path: Path) -> FakeCommands:
    return FakeCommands(tmp_path / "started")


@pytest.fixture
def job_double(tmp_path: Path) -> Path:
    path = tmp_path / "round_job.py"
    path.write_text(ROUND_JOB)
    return path


def works_as_before(store: Store) -> bool:
    """The current model still is the first one, its file is whole, and its proposals are the active ones."""
    models = models_by_round(store)
    with store.reader() as session:
        proposing = {proposal.model_id for proposal in session.query(Proposal).where(Proposal.active)}
    predicting.require_unchanged(store.workspace.absolute(models[1].onnx_path), models[1].onnx_sha256)
    return (list(models), models[1].status, proposing) == ([1], ModelStatus.CURRENT, {1})


def test_a_worker_killed_in_mid_round_replaces_nothing(
    store: Store, tmp_path: Path, job_double: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = JobQueue(store.workspace, store=store)
    job_id = queue.submit("round")
    with worker_process(tmp_path, store.workspace, job_double) as worker:
        wait_until((store.workspace.root / "started").exists, "the training's start")
        family = psutil.Process(worker.pid).children(recursive=True)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    wait_until(lambda: not any(process.is_running() for process in family), "the end of job and training")
    monkeypatch.setattr(jobs, "DEAD_AFTER_S", 0.0)
    assert queue.get(job_id).state == "failed"
    assert works_as_before(store)


def test_a_training_killed_in_mid_round_replaces_nothing(store: Store, tmp_path: Path, job_double: Path) -> None:
    queue = JobQueue(store.workspace, store=store)
    job_id = queue.submit("round")
    with worker_process(tmp_path, store.workspace, job_double) as worker:
        wait_until((store.workspace.root / "started").exists, "the training's start")
        (job,) = psutil.Process(worker.pid).children()
        (training,) = job.children()
        os.kill(training.pid, signal.SIGKILL)
        wait_until(lambda: queue.get(job_id).is_finished, "the job's end")
    assert "was killed by SIGKILL" in (queue.get(job_id).error or "")
    assert works_as_before(store)


def test_a_round_cancelled_on_the_page_replaces_nothing(store: Store, tmp_path: Path, job_double: Path) -> None:
    queue = JobQueue(store.workspace, store=store)
    job_id = queue.submit("round")
    with worker_process(tmp_path, store.workspace, job_double):
        wait_until((store.workspace.root / "started").exists, "the training's start")
        queue.cancel(job_id)
        wait_until(lambda: queue.get(job_id).is_finished, "the job's end")
    assert queue.get(job_id).state == "cancelled"
    assert works_as_before(store)


def test_a_loss_that_is_no_number_replaces_nothing_and_the_round_is_not_continued(
    store: Store, commands: FakeCommands
) -> None:
    commands.what = "3"
    with pytest.raises(RuntimeError, match="NaN or infinite"):
        run(store, commands)
    assert round_folders(store.workspace)[-1].state is RoundState.FAILED
    assert works_as_before(store)


def full_disk(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        pytest.param(files, "os.fsync", id="while freezing labels"),
        pytest.param(gold_files, "write_atomically", id="while measuring"),
        pytest.param(gold_files, "publish", id="while keeping the measurement"),
    ],
)
def test_a_full_disk_replaces_nothing(
    store: Store, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    before = everything(store)
    owner = module if "." not in name else getattr(module, name.partition(".")[0])
    with monkeypatch.context() as patched:
        patched.setattr(owner, name.rpartition(".")[2], full_disk)
        with pytest.raises(OSError, match="No space left"):
            run(store, commands)
    assert everything(store) == before
    assert works_as_before(store)


def test_a_full_store_replaces_nothing(store: Store, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(store)
    store.close()
    with store.reader() as session:
        pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar_one()
        engine = session.get_bind()
    long_name = SimpleNamespace(method="csl" * 5000, calibration=None)  # More than fits into the pages that there are.
    monkeypatch.setattr(FakePredictor, "metadata", long_name)

    def stop_growing(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(engine, "connect", stop_growing)
    store.close()
    with pytest.raises(DiskFullError, match="no room left"):
        run(store, commands)
    assert everything(store) == before
    assert works_as_before(store)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_gold_that_changed_stops_a_round_before_and_after_its_training(
    store: Store, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = store.workspace.absolute(gold_images(store)[0].path)

    def spoil() -> None:
        Picture.new("RGB", (24, 16), (9, 9, 9)).save(path)

    if moment == "before":
        spoil()
    else:
        trained = commands.export
        monkeypatch.setattr(commands, "export", lambda folder, check: (spoil(), trained(folder, check))[1])
    with pytest.raises(ValueError, match="picture of the gold image g1 was changed after import"):
        run(store, commands)
    assert bool(commands.calls) == (moment == "after")
    assert works_as_before(store)


def test_a_prediction_that_met_a_full_disk_keeps_the_old_proposals(
    store: Store, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store, commands)
    monkeypatch.setattr(planes, "publish", full_disk)
    report = None
    with pytest.raises(OSError, match="No space left"):
        report = predict_pool(store, store.workspace, 2, lambda progress: None, lambda: False)
    assert report is None
    with store.reader() as session:
        # Labeled images in which errors are planted have proposals, too.
        assert {proposal.model_id for proposal in session.query(Proposal).where(Proposal.active)} == {1}
        assert session.query(Image).count() == 5
