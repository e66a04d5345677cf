"""The worker: takes job ids from the queues and runs each job in a process group of its own, one per lane at a time."""

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huey import Huey
from huey.consumer import Consumer, ConsumerStopped
from sqlalchemy import select, update

from app.config import Workspace
from app.domain.states import JobState
from app.services.jobs import HEARTBEAT_S, bury_dead_jobs, finish_job, log_file
from app.services.processes import (
    CANCELLED_EXIT_CODE,
    GRACE_S,
    child_environment,
    python_module,
    read_tail,
    stop_child,
)
from app.services.queueing import Lane, job_task, lane_of, open_queue, waiting_job_ids
from app.services.worker_lock import announced
from app.storage.database import Store, open_store
from app.storage.errors import StoreError
from app.storage.models import Job, utc_now

logger = logging.getLogger(__name__)

JobCommand = Callable[[int], Sequence[str]]
"""Job id -> command line of the process that does the job."""

_POLL_S = 0.25
_LOOK_S = 0.5


def run_worker(
    workspace: Workspace, url: str | None = None, parent_pid: int | None = None, command: JobCommand | None = None
) -> None:
    """Run jobs until SIGINT or SIGTERM; the running job is then cancelled and its children are stopped.

    Args:
        url: see `queueing.open_queue`.
        parent_pid: end as well when this process is not our parent any more.
        command: what does a job; None is this program's own `run-job`.
    """
    store = open_store(workspace)
    queues = {lane: open_queue(workspace, url, lane) for lane in Lane}
    stopping = threading.Event()
    supervisor = JobSupervisor(store, workspace, command or _run_job_command(workspace), stopping)
    senders = {lane: job_task(huey, supervisor.run) for lane, huey in queues.items()}
    bury_dead_jobs(store)
    requeue_lost_jobs(store, queues, senders)
    with announced(workspace):
        JobConsumer(queues[Lane.MODELS], stopping, parent_pid, beside=queues[Lane.SHORT]).run()


class JobSupervisor:
    """Starts the process of one job, signs its row, passes on requests to stop, and records how it ended."""

    def __init__(
        self,
        store: Store,
        workspace: Workspace,
        command: JobCommand,
        stopping: threading.Event,
        grace_s: float = GRACE_S,
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._command = command
        self._stopping = stopping
        self._grace_s = grace_s

    def run(self, job_id: int) -> None:
        """Run a queued job to its end. Does nothing when the job was cancelled or taken meanwhile."""
        log = log_file(self._workspace, job_id)
        if not self._claim(job_id, log):
            return
        log.parent.mkdir(parents=True, exist_ok=True)
        logger.info("job %d starts; log: %s", job_id, log)
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(self._command(job_id)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                start_new_session=True,
            )
        try:
            asked_to_stop = self._watch(job_id, process)
        finally:
            stop_child(process, owns_group=True, grace_s=self._grace_s)
        self._record_end(job_id, process.returncode, asked_to_stop, log)

    def _claim(self, job_id: int, log: Path) -> bool:
        now = utc_now()
        values = {"state": JobState.RUNNING, "started_at": now, "heartbeat_at": now}
        values["log_path"] = self._workspace.relative(log)
        is_mine = (Job.id == job_id) & (Job.state == JobState.QUEUED)
        with self._store.session() as session:
            claimed: Any = session.execute(update(Job).where(is_mine).values(**values))
            return bool(claimed.rowcount == 1)

    def _watch(self, job_id: int, process: "subprocess.Popen[bytes]") -> bool:
        """Sign the row until the process ends; returns True when it has to be stopped first."""
        next_beat = 0.0
        while process.poll() is None:
            if self._stopping.is_set():
                return True
            if time.monotonic() >= next_beat:
                if not self._may_go_on(job_id, process.pid):
                    return True
                next_beat = time.monotonic() + _LOOK_S
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
        return False

    def _may_go_on(self, job_id: int, pid: int) -> bool:
        """Sign a job's row; False when somebody asked for a stop or declared the job dead."""
        try:
            with self._store.reader() as session:
                job = session.get(Job, job_id)
                if job is None or job.state is not JobState.RUNNING or job.cancel_requested:
                    return False
                is_due = job.heartbeat_at is None or abs((utc_now() - job.heartbeat_at).total_seconds()) >= HEARTBEAT_S
                if not is_due and job.pid == pid:
                    return True
            with self._store.session() as session:
                session.execute(update(Job).where(Job.id == job_id).values(heartbeat_at=utc_now(), pid=pid))
        except StoreError as error:  # A full or busy disk must not kill a training that may outlast it.
            logger.warning("job %d: its row could not be signed: %s", job_id, error)
        return True

    def _record_end(self, job_id: int, code: int, asked_to_stop: bool, log: Path) -> None:
        with self._store.reader() as session:
            job = session.get(Job, job_id)
            was_cancelled = job is not None and job.cancel_requested
            said = job.error if job is not None else None
        if code == 0:
            state, error = JobState.SUCCEEDED, None
        elif was_cancelled:
            state, error = JobState.CANCELLED, None
        elif asked_to_stop or code == CANCELLED_EXIT_CODE:
            state, error = JobState.CANCELLED, "the worker was stopped while this job ran; repeat the job to continue"
        else:
            state, error = JobState.FAILED, said or _describe_end(code, log)
        finish_job(self._store, job_id, state, error)
        logger.info("job %d %s", job_id, state.value)


class _LaneBeside(Consumer):  # type: ignore[misc]  # Huey has no types.
    """The threads of one more lane; signals are for the consumer that has the main thread."""

    def _set_signal_handlers(self) -> None:
        """None: between its handlers and those of the other consumer, a request to stop would be lost."""


class JobConsumer(Consumer):  # type: ignore[misc]  # Huey has no types.
    """Huey's consumer with one thread per lane.

    It differs in three ways: a request to stop also stops the running jobs, it ends with its parent, and it serves the
    queue `beside` its own with a thread of that queue's own, so that short jobs do not wait behind a training.
    """

    def __init__(self, huey: Huey, stopping: threading.Event, parent_pid: int | None, beside: Huey) -> None:
        options = {"workers": 1, "periodic": False, "max_delay": 1.0, "worker_type": "thread"}
        super().__init__(huey, **options)
        self._beside = _LaneBeside(beside, **options)
        self._signal_actions = {
            number: (False, True) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }  # Huey restarts on SIGHUP; ours comes from a closed terminal.
        self._stopping = stopping
        self._parent_pid = parent_pid

    def start(self) -> None:
        """Start both lanes. The signal handlers come first: killed in between, a job would be left without a worker."""
        self._set_signal_handlers()
        self._beside.start()
        super().start()

    def check_worker_health(self) -> Any:  # noqa: ANN401 - Huey's own type
        """Replace threads that died, in both lanes."""
        self._beside.check_worker_health()
        return super().check_worker_health()

    def loop(self, health_check_ts: float | None = None) -> Any:  # noqa: ANN401 - Huey's own type
        """One turn of the main thread."""
        if self._parent_pid is not None and os.getppid() != self._parent_pid:
            self.stop()
            raise ConsumerStopped
        return super().loop(health_check_ts)

    def stop(self, graceful: bool = False) -> None:
        """Stop the running jobs, then wait for the threads that supervise them."""
        self._stopping.set()
        self._beside.stop_flag.set()
        super().stop(graceful=True)
        self._beside.stop(graceful=True)


def requeue_lost_jobs(
    store: Store, queues: Mapping[Lane, Huey], senders: Mapping[Lane, Callable[[int], Any]]
) -> list[int]:
    """Send the ids of waiting jobs that no queue holds (their file was deleted, or a worker died in between)."""
    with store.reader() as session:
        queued = session.execute(select(Job.id, Job.kind).where(Job.state == JobState.QUEUED).order_by(Job.id)).all()
    known = set().union(*(waiting_job_ids(huey) for huey in queues.values()))
    lost = [(job_id, kind) for job_id, kind in queued if job_id not in known]
    for job_id, kind in lost:
        senders[lane_of(kind)](job_id)
    return [job_id for job_id, _ in lost]


def _run_job_command(workspace: Workspace) -> JobCommand:
    def command(job_id: int) -> list[str]:
        own_pid = str(os.getpid())
        return python_module("app", "run-job", str(job_id), "-w", str(workspace.root), "--worker-pid", own_pid)

    return command


def _describe_end(code: int, log: Path) -> str:
    last_line = next((line for line in reversed(read_tail(log, 40).splitlines()) if line.strip()), "no output")
    if code < 0:
        name = signal.Signals(-code).name
        return f"the job's process was killed by {name}, perhaps for lack of memory; last line of its log: {last_line}"
    return f"the job's process ended with exit code {code}; last line of its log: {last_line}"
