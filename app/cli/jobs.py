"""`pixelsieve jobs`, `worker` and the hidden `run-job` that the worker starts for each job."""

import json
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import WorkspaceOption, console, open_workspace
from app.config import Workspace
from app.domain.states import JobKind, JobState
from app.services.job_kinds import work_of
from app.services.job_process import Work, run_job
from app.services.jobs import JobQueue, JobView
from app.services.local_actor import command_line_actor
from app.services.worker import run_worker
from app.services.worker_lock import worker_is_running

QueueUrlOption = Annotated[
    str | None,
    typer.Option(
        "--queue-url",
        envvar="PIXELSIEVE_QUEUE_URL",
        help="Job queue on the network, redis://host:port/number. Default: a file in the workspace.",
    ),
]

_COLORS = {JobState.RUNNING: "cyan", JobState.SUCCEEDED: "green", JobState.FAILED: "red", JobState.CANCELLED: "yellow"}


def jobs(
    workspace: WorkspaceOption,
    cancel: Annotated[int | None, typer.Option(help="Ask this job to stop.")] = None,
    log: Annotated[int | None, typer.Option(help="Print the end of this job's log.")] = None,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="Lines of the log.")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="Print the latest 50 jobs as JSON.")] = False,
    queue_url: QueueUrlOption = None,
) -> None:
    """List background jobs, stop one, or read its log."""
    store, place = open_workspace(workspace)
    queue = JobQueue(place, queue_url, store)
    if log is not None:
        print(queue.log_tail(log, lines))
    elif cancel is not None:
        view = queue.cancel(cancel, command_line_actor())
        console.print(
            f"Job {view.id} is {view.state.value}{' and stops after its current step' * view.cancel_requested}."
        )
    elif as_json:
        print(json.dumps([view.to_json() for view in queue.list()], indent=2))
    else:
        _print_jobs(queue.list(), worker_is_running(place))


def worker(
    workspace: WorkspaceOption,
    queue_url: QueueUrlOption = None,
    is_running: Annotated[
        bool, typer.Option("--is-running", help="Only say whether a worker runs; exit code 1 if not.")
    ] = False,
    parent_pid: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run background jobs until Ctrl+C: one training and one COCO export at a time. `review` starts one by itself."""
    if is_running:
        found = worker_is_running(Workspace(workspace))
        console.print("A worker is running." if found else "No worker is running.")
        raise typer.Exit(0 if found else 1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("huey").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _, place = open_workspace(workspace)
    console.print(f"Worker for {escape(str(workspace))} is ready; Ctrl+C stops it.")
    run_worker(place, queue_url, parent_pid)


def run_job_command(
    job_id: Annotated[int, typer.Argument(min=1)],
    workspace: WorkspaceOption,
    worker_pid: Annotated[int, typer.Option()],
) -> None:
    """Do one job. For the worker only."""
    raise SystemExit(run_job(Workspace(Path(workspace)), job_id, worker_pid, work_of_kind))


def work_of_kind(kind: JobKind) -> Work:
    """Services know nothing of FiftyOne, and no other job should wait for it."""
    if kind is not JobKind.EXPLORE:
        return work_of(kind)
    from app.web.explorer import do_job  # noqa: PLC0415

    return do_job


def _print_jobs(views: list[JobView], has_worker: bool) -> None:
    if not views:
        console.print("No jobs yet.")
    else:
        table = Table("job", "kind", "state", "progress", "what", box=None, header_style="bold")
        for view in views:
            color = _COLORS.get(view.state, "white")
            share = f"{100 * view.progress_done / max(view.progress_total, 1):.0f} %"
            said = view.error or view.message
            table.add_row(str(view.id), view.kind, f"[{color}]{view.state.value}[/]", share, escape(said))
        console.print(table)
    if not has_worker and any(not view.is_finished for view in views):
        console.print("[yellow]No worker is running;[/] start one with pixelsieve worker or pixelsieve review.")
