"""Background jobs as everybody but the worker sees them: submit, cancel, look. The rows in the store are the truth."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.exporting import Selection
from app.domain.roles import Actor, Role
from app.domain.states import JobKind, JobState
from app.domain.suspects import MAX_AREA, MIN_AREA
from app.services.audit import record
from app.services.local_actor import local_actor
from app.services.processes import read_tail
from app.services.queueing import Lane, job_task, lane_of, open_queue, safe_url
from app.services.rounds import require_decided
from app.services.worker_lock import worker_is_running
from app.storage.database import Store, open_store
from app.storage.models import Job, utc_now

HEARTBEAT_S = 2.0
"""How often the worker signs a running job."""

CONFIRM_S = 10.0
"""A worker that lives signs within five beats again, whatever somebody did to the clock."""

DEAD_AFTER_S = 30.0
"""A running job unsigned for longer has lost its worker: fifteen missed beats, so a busy disk is no death."""

WORKER_DIED = (
    "the worker stopped while this job ran, so nothing was registered. Start the worker again (pixelsieve review or "
    "pixelsieve worker) and repeat the job; an interrupted training continues from its last checkpoint."
)


class JobArguments(BaseModel):
    """Base of the arguments of every kind of job: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RoundArguments(JobArguments):
    """`round` and `train`: how to train. Fields left out follow the workspace."""

    preset: str | None = Field(None, pattern=r"^[A-Za-z0-9_]+$", description="letters (a-z), digits and _")
    overrides: dict[str, str] = Field(default_factory=dict)
    from_scratch: bool = False


class ExportArguments(JobArguments):
    """`export`: which trained round becomes an ONNX file; None is the latest."""

    round: int | None = Field(None, ge=1)


class PredictArguments(JobArguments):
    """`predict`: which model proposes; None is the current one."""

    model_id: int | None = Field(None, ge=1)


class RecutArguments(JobArguments):
    """`recut`: nothing to choose; the threshold in force is recorded with the model."""


class SuspectsArguments(JobArguments):
    """`suspects`: whose doubt counts, None is the current model, and from how many pixels on parts are listed."""

    model_id: int | None = Field(None, ge=1)
    min_area: int = Field(MIN_AREA, ge=1, le=MAX_AREA)


class MeasureArguments(JobArguments):
    """`measure`: which models to measure on the gold images as they are now."""

    model_ids: list[int] = Field(min_length=1, max_length=100)


_Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="1-64 letters (a-z), digits, - and _, the first one a letter or a digit",
    ),
]


class CocoArguments(JobArguments):
    """`coco`: the folder's name below the workspace's exports, and which images."""

    name: _Name
    which: Selection = "reviewed"


class BackupArguments(JobArguments):
    """`backup`: the file's name below the workspace's backups, without its ending."""

    name: _Name


class ExploreArguments(JobArguments):
    """`explore`: in whose name tags take effect; whoever submits the job, whatever is sent."""

    person: str | None = None
    role: Role | None = None

    def submitted_by(self, actor: Actor) -> "ExploreArguments":
        """The same job, in a person's name."""
        return ExploreArguments(person=actor.name, role=actor.role)

    @property
    def actor(self) -> Actor:
        """The person."""
        return local_actor() if self.person is None else Actor(self.person, self.role)


ARGUMENTS: dict[JobKind, type[JobArguments]] = {
    JobKind.TRAIN: RoundArguments,
    JobKind.EXPORT: ExportArguments,
    JobKind.PREDICT: PredictArguments,
    JobKind.RECUT: RecutArguments,
    JobKind.COCO: CocoArguments,
    JobKind.ROUND: RoundArguments,
    JobKind.MEASURE: MeasureArguments,
    JobKind.BACKUP: BackupArguments,
    JobKind.EXPLORE: ExploreArguments,
    JobKind.SUSPECTS: SuspectsArguments,
}


@dataclass(frozen=True)
class JobView:
    """What the store says about one job, detached from it. Times are UTC; `log_path` is relative to the workspace."""

    id: int
    kind: JobKind
    state: JobState
    arguments: dict[str, Any]
    progress_done: int
    progress_total: int
    message: str
    metrics: dict[str, Any]
    log_path: str | None
    cancel_requested: bool
    error: str | None
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in (JobState.QUEUED, JobState.RUNNING)

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API and `pixelsieve jobs --json`: times in ISO 8601."""
        content = dict(self.__dict__)
        for key in ("created_at", "started_at", "finished_at"):
            content[key] = content[key].isoformat() if content[key] else None
        return content


class JobQueue:
    """Submits jobs and follows them. Cheap to make; any number may exist in any process."""

    def __init__(self, workspace: Workspace, url: str | None = None, store: Store | None = None) -> None:
        """Open the queue.

        Args:
            url: redis://... for a networked queue; None for $PIXELSIEVE_QUEUE_URL or the workspace's own file.
            store: an open store of this workspace to share.
        """
        self._workspace = workspace
        self._url = url
        self._store = store or open_store(workspace)
        self._tasks = {lane: job_task(open_queue(workspace, url, lane)) for lane in Lane}

    def submit(self, kind: str, arguments: dict[str, Any] | None = None, actor: Actor | None = None) -> int:
        """Put a job into the queue and return its id.

        Args:
            kind: what to do.
            arguments: how; see ARGUMENTS.
            actor: who asks; None for whoever runs this process.

        Raises:
            ValueError: unknown kind, unknown or invalid argument, or a round while another waits for a decision;
                nothing was queued.
            RuntimeError: the queue cannot be reached; the job's row says so, too.
        """
        job_kind, checked = check_arguments(kind, arguments or {})
        if job_kind in (JobKind.ROUND, JobKind.TRAIN):
            require_decided(self._store)
        if isinstance(checked, ExploreArguments):
            checked = checked.submitted_by(actor or local_actor())
        with self._store.session() as session:
            job = Job(kind=job_kind, state=JobState.QUEUED, arguments=checked.model_dump())
            session.add(job)
            session.flush()
            job_id = job.id
            _record(session, actor, AuditAction.JOB_STARTED, job)
        try:
            self._tasks[lane_of(job_kind)](job_id)
        except Exception as error:
            where = safe_url(self._url) if self._url else "of the workspace"
            reason = f"the job queue {where} cannot be reached: {type(error).__name__}: {error}"
            finish_job(self._store, job_id, JobState.FAILED, reason)
            raise RuntimeError(reason) from error
        return job_id

    def cancel(self, job_id: int, actor: Actor | None = None) -> JobView:
        """Ask a job to stop. A waiting job is cancelled at once, a running one after its current step.

        Args:
            job_id: which.
            actor: who asks; None for whoever runs this process.

        Raises:
            LookupError: there is no such job.
        """
        with self._store.session() as session:
            job = session.get(Job, job_id)
            if job is not None and job.state in (JobState.QUEUED, JobState.RUNNING):
                _record(session, actor, AuditAction.JOB_CANCELLED, job)
            if job is not None and job.state is JobState.QUEUED:
                job.state, job.finished_at, job.message = JobState.CANCELLED, utc_now(), "cancelled before it started"
            elif job is not None and job.state is JobState.RUNNING:
                job.cancel_requested, job.message = True, "stopping"
        return self.get(job_id)

    def get(self, job_id: int) -> JobView:
        """The present state of one job.

        Raises:
            LookupError: there is no such job.
        """
        self._bury_dead_jobs()
        with self._store.reader() as session:
            job = session.get(Job, job_id)
            if job is None:
                raise LookupError(f"there is no job {job_id}; see pixelsieve jobs")
            return _view(job)

    def list(self, limit: int = 50) -> list[JobView]:
        """The latest jobs, newest first."""
        self._bury_dead_jobs()
        with self._store.reader() as session:
            return [_view(job) for job in session.scalars(select(Job).order_by(Job.id.desc()).limit(limit))]

    def log_tail(self, job_id: int, lines: int = 100) -> str:
        """The end of a job's output, without terminal codes; empty before it has written anything.

        Raises:
            LookupError: there is no such job.
        """
        self.get(job_id)
        return read_tail(log_file(self._workspace, job_id), lines)

    def _bury_dead_jobs(self) -> None:
        bury_dead_jobs(self._store)


def check_arguments(kind: str, arguments: dict[str, Any]) -> tuple[JobKind, JobArguments]:
    """Validate what a user or a page asks for.

    Raises:
        ValueError: names the unknown kind or the offending argument and what is allowed.
    """
    try:
        job_kind = JobKind(kind)
    except ValueError:
        raise ValueError(f"unknown kind of job {kind!r}; choose one of {', '.join(JobKind)}") from None
    model = ARGUMENTS[job_kind]
    try:
        return job_kind, model.model_validate(arguments)
    except ValidationError as error:
        raise ValueError(_argument_sentence(job_kind, model, error)) from None


def _argument_sentence(kind: JobKind, model: type[JobArguments], error: ValidationError) -> str:
    """What is wrong with the first wrong argument, and what is allowed, in words."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "string_pattern_mismatch":  # Pydantic would show the regular expression.
        return f"{key} {first['input']!r} is not allowed: use {model.model_fields[key].description}"
    return f"job {kind.value!r}, argument {key!r}: {first['msg']}. Arguments: {', '.join(model.model_fields)}"


def finish_job(store: Store, job_id: int, state: JobState, error: str | None = None) -> None:
    """Give a job its final state, unless it already has one."""
    values: dict[str, Any] = {"state": state, "finished_at": utc_now()}
    if error is not None:
        values["error"] = error
    with store.session() as session:
        session.execute(
            update(Job).where(Job.id == job_id, Job.state.in_((JobState.QUEUED, JobState.RUNNING))).values(**values)
        )


def bury_dead_jobs(store: Store) -> list[int]:
    """Fail the jobs whose worker has given no sign of life for `DEAD_AFTER_S`; returns their ids.

    A sign far in the past or in the future may also come from a clock that was set. While a worker is there, a job is
    dead only when its sign is still the same `CONFIRM_S` later, measured with a clock that nobody sets.
    """
    now, margin = utc_now(), timedelta(seconds=DEAD_AFTER_S)
    is_suspect = (Job.state == JobState.RUNNING) & (
        (Job.heartbeat_at < now - margin) | (Job.heartbeat_at > now + margin)
    )
    with store.reader() as session:
        suspects = [
            (row.id, row.heartbeat_at) for row in session.execute(select(Job.id, Job.heartbeat_at).where(is_suspect))
        ]
    if not suspects:
        return []
    has_worker = worker_is_running(store.workspace)
    dead = [suspect for suspect in suspects if not has_worker or _was_suspect_before(store.workspace, *suspect)]
    values = {"state": JobState.FAILED, "finished_at": now, "error": WORKER_DIED}
    buried = []
    with store.session() as session:
        for job_id, sign in dead:
            unsigned = (Job.id == job_id) & (Job.state == JobState.RUNNING) & (Job.heartbeat_at == sign)
            changed: Any = session.execute(update(Job).where(unsigned).values(**values))
            buried += [job_id] * changed.rowcount
    return buried


_suspects: dict[tuple[str, int, datetime], float] = {}
"""Workspace, job and its last sign of life -> when this process first found that sign too old."""


def _was_suspect_before(workspace: Workspace, job_id: int, sign: datetime) -> bool:
    first = _suspects.setdefault((str(workspace.root), job_id, sign), time.monotonic())
    return time.monotonic() - first >= CONFIRM_S


def _record(session: Session, actor: Actor | None, action: AuditAction, job: Job) -> None:
    record(session, actor or local_actor(), action, f"job {job.id}", {"kind": job.kind.value, **job.arguments})


def log_file(workspace: Workspace, job_id: int) -> Path:
    """Where a job's output goes."""
    return workspace.logs / f"job-{job_id}.log"


def _view(job: Job) -> JobView:
    names = JobView.__dataclass_fields__
    return JobView(**{name: getattr(job, name) for name in names})
