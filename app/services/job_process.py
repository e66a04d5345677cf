"""The process that does one job: `python -m app run-job ID`, started by the worker as leader of its own group."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from app.config import Workspace
from app.domain.states import JobKind
from app.services.jobs import check_arguments, log_file
from app.services.processes import CANCELLED_EXIT_CODE, GRACE_S, Monitor, WorkCancelledError
from app.storage.database import Store, open_store
from app.storage.errors import StoreError
from app.storage.models import Job
from datasets.progress import Progress

Work = Callable[[Store, Workspace, Any, Monitor], dict[str, Any]]
"""(store, workspace, checked arguments, monitor) -> result for the job's row."""

FAILED_EXIT_CODE = 1

OWN_GRACE_S = 10.0
"""What a job process gets on top of the grace of its child."""

_WRITE_EVERY_S = 0.5


def run_job(workspace: Workspace, job_id: int, worker_pid: int, work_of: Callable[[JobKind], Work]) -> int:
    """Do one job, recording progress and result in its row; returns the exit code of this process.

    Args:
        worker_pid: the worker. When it is gone, so are we: nobody would record how we end.
        work_of: which function does a kind of job.
    """
    store = open_store(workspace)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=_end_with_worker, args=(worker_pid,), daemon=True).start()
    with store.reader() as session:
        job = session.get(Job, job_id)
        if job is None:
            raise LookupError(f"there is no job {job_id} in {workspace.root}")
        kind, arguments = check_arguments(job.kind, job.arguments)
    reporter = _RowReporter(store, job_id)
    monitor = Monitor(reporter.report, stop.is_set, log_file(workspace, job_id), owns_group=False)
    try:
        result = work_of(kind)(store, workspace, arguments, monitor)
    except WorkCancelledError:
        print("cancelled")
        return CANCELLED_EXIT_CODE
    except Exception as error:
        _record(store, job_id, error=_sentence(error))
        return FAILED_EXIT_CODE
    print("100 % finished")  # The last tenth of the progress is no end yet, and a log that stops there looks broken.
    _record(store, job_id, result=result, progress_done=1, progress_total=1, message="finished")
    return 0


class _RowReporter:
    """Writes progress into the job's row, at most twice a second, and each tenth into its log."""

    def __init__(self, store: Store, job_id: int) -> None:
        self._store = store
        self._job_id = job_id
        self._next_write = 0.0
        self._last_tenth = -1

    def report(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next_write and progress.done < progress.total:
            return
        self._next_write = now + _WRITE_EVERY_S
        tenth = 10 * progress.done // max(progress.total, 1)
        if tenth != self._last_tenth:
            self._last_tenth = tenth
            print(f"{10 * tenth:3d} % {progress.message}")
        values = {"progress_done": progress.done, "progress_total": max(progress.total, 1)}
        try:
            _record(self._store, self._job_id, **values, message=progress.message[:500], metrics=dict(progress.metrics))
        except StoreError as error:  # A busy or full disk is no reason to lose hours of training.
            print(f"progress was not recorded: {error}")


def _record(store: Store, job_id: int, **values: Any) -> None:  # noqa: ANN401 - columns of the job's row
    with store.session() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def _sentence(error: Exception) -> str:
    """What the page shows; the log gets the traceback of what we did not foresee."""
    if isinstance(error, ValueError | OSError | LookupError | RuntimeError):
        print(f"Error: {error}")
        return str(error)
    traceback.print_exc()
    return f"unexpected {type(error).__name__}: {error}. The job's log has the details."


def _end_with_worker(worker_pid: int) -> None:
    """When the worker has died: ask this process to stop, and kill it and its children if that takes too long."""
    while os.getppid() == worker_pid:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S + OWN_GRACE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
