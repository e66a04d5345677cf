"""What the tests of background jobs share: processes that stand for jobs and for the worker."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from app.config import Workspace
from app.services.jobs import JobQueue
from app.services.worker_lock import worker_is_running

REPOSITORY = Path(__file__).resolve().parents[2]

JOB_DOUBLE = """
import pathlib, sys, time
from app.config import Workspace
from app.services.job_process import run_job
from app.services.processes import Monitor, WorkCancelledError, run_child
from datasets.progress import Progress

def work(store, workspace, arguments, monitor):
    what = getattr(arguments, "overrides", {}).get("what", "succeed")
    monitor.progress(Progress(1, 4, "first quarter", {"loss": 0.25}))
    (workspace.root / "started").touch()
    if what == "succeed":
        print("all went well")
        return {"answer": 42}
    if what == "refuse":
        raise ValueError("there is nothing to train on")
    if what == "bug":
        raise TypeError("a bug")
    if what == "crash":
        import os; os._exit(7)
    if what == "child":
        child = [sys.executable, "-c", "import os, pathlib, time, sys; "
                 "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(120)", str(workspace.root / "pid")]
        run_child(child, monitor, workspace.root / "child.log")
    while True:
        monitor.raise_if_cancelled()
        time.sleep(0.02)

sys.exit(run_job(Workspace(pathlib.Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), lambda kind: work))
"""

WORKER_DOUBLE = """
import os, pathlib, sys
from app.config import Workspace
from app.services.worker import run_worker

root, job_double = sys.argv[1:3]
parent = int(sys.argv[3]) if len(sys.argv) > 3 else None
run_worker(Workspace(pathlib.Path(root)), parent_pid=parent,
           command=lambda job_id: [sys.executable, job_double, root, str(job_id), str(os.getpid())])
"""


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def submit(queue: JobQueue, what: str) -> int:
    return queue.submit("round", {"preset": "debug", "overrides": {"what": what}})


@contextlib.contextmanager
def worker_process(
    tmp_path: Path, workspace: Workspace, job_double: Path, *more: str
) -> Iterator[subprocess.Popen[bytes]]:
    script = tmp_path / "worker_double.py"
    script.write_text(WORKER_DOUBLE)
    command = [sys.executable, str(script), str(workspace.root), str(job_double), *more]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        wait_until(lambda: worker_is_running(workspace), "the worker's start")
        yield process
    finally:
        process.kill()
        process.wait()
