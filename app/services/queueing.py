"""The message queues behind background jobs, one per lane: Huey on SQLite in the workspace, or on Redis by URL."""

import json
import os
import secrets
from enum import StrEnum
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from huey import Huey, RedisHuey, SqliteHuey
from huey.api import TaskWrapper
from huey.registry import Message
from huey.serializer import Serializer

from app.config import Workspace
from app.domain.states import JobKind
from datasets.files import write_atomically

QUEUE_URL_VARIABLE = "PIXELSIEVE_QUEUE_URL"
"""Environment variable with the queue's URL, so that the web process and the worker agree without flags."""

TASK_NAME = "run_job"


class Lane(StrEnum):
    """Where a job waits. Each lane runs one job at a time, beside the other lane's."""

    MODELS = ""
    """Training, export and prediction: minutes to hours, and every core or the GPU."""
    SHORT = "-short"
    """What people wait for in front of the page."""


_SHORT_KINDS = frozenset({JobKind.COCO, JobKind.BACKUP, JobKind.EXPLORE})


def lane_of(kind: JobKind) -> Lane:
    """The lane of a kind of job."""
    return Lane.SHORT if kind in _SHORT_KINDS else Lane.MODELS


class JsonSerializer(Serializer):  # type: ignore[misc]  # Huey has no types.
    """Messages as JSON. Huey's default is pickle, which would let whoever reaches the Redis server run code here."""

    def _serialize(self, data: Any) -> bytes:  # noqa: ANN401 - whatever Huey stores
        content = {"message": list(data)} if isinstance(data, Message) else {"value": data}
        return json.dumps(content).encode()

    def _deserialize(self, data: bytes) -> Any:  # noqa: ANN401
        content = json.loads(data)
        return Message(*content["message"]) if "message" in content else content["value"]


def open_queue(workspace: Workspace, url: str | None = None, lane: Lane = Lane.MODELS) -> Huey:
    """The queue of one lane of one workspace.

    Args:
        url: redis://host:port/database, or None for $PIXELSIEVE_QUEUE_URL and, without it, the workspace's own file.

    Raises:
        ValueError: not a redis URL, or the `redis` extra is not installed.
    """
    url = url or os.environ.get(QUEUE_URL_VARIABLE) or None
    options = {"name": f"pixelsieve-{_queue_id(workspace)}{lane}", "results": False, "serializer": JsonSerializer()}
    if url is None:
        return SqliteHuey(filename=str(workspace.job_queue), fsync=True, **options)
    if urlsplit(url).scheme not in ("redis", "rediss", "unix"):
        raise ValueError(f"the job queue's URL must start with redis://, rediss:// or unix://, got {safe_url(url)!r}")
    if find_spec("redis") is None:
        raise ValueError("a job queue on Redis needs the package 'redis'; install it with: pip install -e '.[redis]'")
    return RedisHuey(url=url, blocking=False, **options)


def job_task(huey: Huey, run: Any = None) -> TaskWrapper:  # noqa: ANN401 - a callable taking a job id
    """Register the one task there is. Only the worker gives `run`; everybody else just sends job ids."""

    def run_job(job_id: int) -> None:
        if run is None:
            raise RuntimeError("jobs run in `pixelsieve worker` only")
        run(job_id)

    return huey.task(name=TASK_NAME)(run_job)


def waiting_job_ids(huey: Huey) -> set[int]:
    """Job ids that the queue still holds."""
    return {int(task.args[0]) for task in huey.pending()}


def safe_url(url: str) -> str:
    """The URL without user and password, for messages and logs."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return f"{parts.scheme}:{parts.path}"
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _queue_id(workspace: Workspace) -> str:
    """Name of this workspace's queue, kept in a file: several workspaces may share one Redis server."""
    path = workspace.root / "queue_id"
    if not path.is_file():
        write_atomically(path, secrets.token_hex(8).encode())
    return path.read_text(encoding="ascii").strip()
