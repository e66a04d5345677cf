"""`pixelsieve review` and `pixelsieve status`."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.markup import escape

from app.cli.choosing import print_model_problem
from app.cli.console import WorkspaceOption, console, open_workspace, percent, print_failures
from app.cli.jobs import QueueUrlOption
from app.cli.next_step import next_step
from app.config import ListenOn, Workspace, make_reach
from app.domain.states import ImageRole, ModelStatus
from app.services.failed_predictions import failed_images
from app.services.jobs import JobQueue
from app.services.people import open_people, require_accounts
from app.services.processes import GRACE_S, child_environment, python_module
from app.services.queueing import QUEUE_URL_VARIABLE
from app.services.reviewing import ReviewService
from app.services.rounds import list_models
from app.services.worker_lock import worker_is_running
from app.services.workspaces import count_roles
from app.storage.models import Model

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 7860
"""Gradio's usual port."""

_WORKER_STOPS_WITHIN_S = GRACE_S + 30.0


def review(
    workspace: WorkspaceOption,
    port: Annotated[int, typer.Option(min=1, max=65535, help="To listen on.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="To listen on; beyond loopback only with accounts.")] = LOOPBACK,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A further name under which people reach the app; may be repeated.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file, to speak https; with --key.")
    ] = None,
    key: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file of the private key.")] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Address of an HTTPS proxy in front, whose X-Forwarded-For is believed.")
    ] = None,
    start_worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Also run background jobs while the app runs.")
    ] = True,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the app in a browser.")] = False,
    queue_url: QueueUrlOption = None,
) -> None:
    """Open the review app: regions to decide, rounds, exports. Ctrl+C stops it."""
    if (certificate is None) != (key is None):
        raise ValueError("--certificate and --key belong together")
    store, place = open_workspace(workspace)
    with contextlib.closing(store):
        require_accounts(open_people(store), host, is_local=not allowed_host and proxy is None)
    reach = make_reach(host, allowed_host or (), proxy, certificate is not None)
    run_review(place, ListenOn(host, port, reach, certificate, key), start_worker, open_browser, queue_url)


def run_review(
    place: Workspace, listen_on: ListenOn, start_worker: bool, open_browser: bool, queue_url: str | None
) -> None:
    """Serve until Ctrl+C, with a worker beside it.

    Raises:
        ValueError, OSError: others would reach it and there are no accounts, or the port is taken.
    """
    from app.web.server import serve  # noqa: PLC0415 - gradio takes seconds to load; other commands need not wait.

    def end(_number: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)  # Otherwise the worker below would outlive us for a moment.
    worker = _worker_beside(place, queue_url) if start_worker else contextlib.nullcontext()
    with worker, contextlib.suppress(KeyboardInterrupt):
        serve(place, listen_on, open_browser, queue_url)


@contextmanager
def _worker_beside(place: Workspace, queue_url: str | None) -> Iterator[None]:
    """A worker process that ends with this one; none when another worker serves the workspace already."""
    if worker_is_running(place):
        console.print("A worker is running for this workspace already; it does the jobs.")
        yield
        return
    place.logs.mkdir(parents=True, exist_ok=True)
    command = python_module("app", "worker", "-w", str(place.root), "--parent-pid", str(os.getpid()))
    with (place.logs / "worker.log").open("ab") as log:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=child_environment({QUEUE_URL_VARIABLE: queue_url} if queue_url else None),
            start_new_session=True,  # Ctrl+C in the terminal is ours; the worker is stopped below.
        )
    try:
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(_WORKER_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def status(workspace: WorkspaceOption) -> None:
    """Say how far the project is and what to do next."""
    store, place = open_workspace(workspace)
    roles = count_roles(store)
    counts = ReviewService(store).counts()
    models = list_models(store)
    running = [job for job in JobQueue(place, store=store).list() if not job.is_finished]
    current = next((model for model in models if model.status is ModelStatus.CURRENT), None)
    console.print(
        f"Images: {roles[ImageRole.LABELED]} labeled, {roles[ImageRole.POOL]} in the pool, {roles[ImageRole.GOLD]} gold"
    )
    print_listed(counts.images, roles[ImageRole.POOL])
    console.print(_describe_current(current))
    if current is not None:
        print_model_problem(store, current)
    console.print(
        f"Queue: {counts.open} regions open, {counts.skipped} skipped, {counts.second_review} for second review, "
        f"{counts.decided} decided"
    )
    print_failures([(image.name, image.reason) for image in failed_images(store)])
    for job in running:
        share = f"{100 * job.progress_done / max(job.progress_total, 1):.0f} %"
        console.print(f"Job {job.id} ({job.kind}) is {job.state.value}, {share}: {escape(job.message)}")
    if running and not worker_is_running(place):
        console.print("[yellow]No worker is running;[/] start one with pixelsieve worker or pixelsieve review.")
    console.print(f"Next: {next_step(store, place)}")


def print_listed(listed: int, pool: int) -> None:
    """The number of images that pages and `images list` show, which is that of the pool and some more."""
    kept = "1 labeled image" if listed == pool + 1 else f"{listed - pool} labeled images"
    decoys = f", the pool and {kept} where errors may be planted" if listed > pool else ""
    console.print(f"To review: {listed} images{decoys}")


def _describe_current(current: Model | None) -> str:
    if current is None:
        return "Current model: none"
    miou = (current.gold or {}).get("miou")
    measured = "not measured on gold" if miou is None else f"mIoU {percent(miou)} on gold"
    return f"Current model: {current.id} of round {current.round}, {measured}"
