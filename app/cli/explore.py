"""`pixelsieve explore`: the workspace in FiftyOne, to search, sort and tag images."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from app.cli.console import Commands, WorkspaceOption, console, errors, monitored, open_workspace
from app.config import is_loopback
from app.services.explorer_tags import TagReport
from app.services.local_actor import command_line_actor
from app.web.explorer_ready import ExplorerUnavailableError, require_explorer

UNAVAILABLE_EXIT_CODE = 3
"""FiftyOne is not installed, or its database does not answer."""

_SHOWN = 20

explore = typer.Typer(
    cls=Commands, no_args_is_help=True, help="The workspace in FiftyOne: search, sort and tag images, and come back."
)

DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", help="Name in FiftyOne; remembered. Default: pixelsieve- and the workspace's folder."),
]


@explore.command()
def status(workspace: WorkspaceOption, dataset: DatasetOption = None) -> None:
    """Say what a sync would do; changes neither side."""
    with _available():
        from app.web.explorer import choose_links, explorer_status  # noqa: PLC0415 - loads the web application's parts

        store, _ = open_workspace(workspace)
        with monitored("Look") as monitor:
            found = explorer_status(store, choose_links(store, dataset), monitor)
    if found.samples is None:
        console.print(
            f"There is no data set {found.links.dataset} in FiftyOne yet; {found.added} images would be in it."
        )
    else:
        console.print(
            f"{found.links.dataset} has {found.samples} samples; a sync adds {found.added}, changes {found.changed} "
            f"and removes {found.removed}."
        )
        console.print(f"Tags that wait: {found.new_tags} to take effect, {found.gone_tags} taken off.")
    is_up_to_date = not any((found.added, found.changed, found.removed, found.new_tags, found.gone_tags))
    then = "open" if is_up_to_date else "sync"
    console.print(f"Next: pixelsieve explore {then} -w {escape(str(workspace))}")


@explore.command()
def sync(
    workspace: WorkspaceOption,
    dataset: DatasetOption = None,
    reviewer_url: Annotated[
        str | None, typer.Option(help="Where people open Pixelsieve; remembered. Default: http://127.0.0.1:7860")
    ] = None,
    explorer_url: Annotated[
        str | None, typer.Option(help="Where people open FiftyOne; remembered. Default: http://127.0.0.1:5151")
    ] = None,
) -> None:
    """Let tags set in FiftyOne take effect, then bring its samples up to date. Twice changes nothing."""
    with _available():
        from app.web import explorer  # noqa: PLC0415 - as above

        store, _ = open_workspace(workspace)
        links = explorer.choose_links(store, dataset, reviewer_url, explorer_url)
        with monitored("Sync") as monitor:
            report = explorer.sync(store, links, command_line_actor(), monitor)
    console.print(
        f"{report.dataset} has {report.samples} samples: {report.added} added, {report.changed} changed, "
        f"{report.removed} removed."
    )
    _print_tags(report.tags)
    console.print(f"Next: pixelsieve explore open -w {escape(str(workspace))}")


@explore.command("open")
def open_command(
    workspace: WorkspaceOption,
    dataset: DatasetOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="To listen on.")] = 5151,
    host: Annotated[str, typer.Option(help="To listen on; this machine only, because FiftyOne has no accounts.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Show the data set in FiftyOne's own page until Ctrl+C. Nothing is sent to anybody else."""
    with _available():
        from app.web.explorer import choose_links, open_explorer  # noqa: PLC0415 - as above

        store, _ = open_workspace(workspace)
        links = choose_links(store, dataset)
        if is_loopback(urlsplit(links.explorer_url).hostname or ""):  # Else people reach it through a proxy.
            links = choose_links(store, dataset, explorer_url=f"http://{host}:{port}")
        with suppress(KeyboardInterrupt):
            open_explorer(store, links, host, port)


@contextmanager
def _available() -> Iterator[None]:
    """One sentence and exit code 3 without FiftyOne or its database."""
    try:
        require_explorer()
        yield
    except ExplorerUnavailableError as error:
        errors.print(f"[red]Error:[/] {escape(str(error))}")
        raise SystemExit(UNAVAILABLE_EXIT_CODE) from None


def _print_tags(tags: TagReport) -> None:
    for name, tag in tags.applied[:_SHOWN]:
        console.print(f"{escape(name)}: tag {escape(tag)} took effect")
    for name, tag in tags.withdrawn[:_SHOWN]:
        console.print(f"{escape(name)}: tag {escape(tag)} was taken off, and so was its effect")
    more = len(tags.applied[_SHOWN:]) + len(tags.withdrawn[_SHOWN:])
    if more:
        console.print(f"... and {more} more tags; the audit log has them all")
    for name, tag, reason in tags.refused[:_SHOWN]:
        console.print(f"[yellow]{escape(name)}: tag {escape(tag)} has no effect:[/] {escape(reason)}")
