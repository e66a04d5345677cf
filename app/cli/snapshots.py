"""`pixelsieve snapshots`: earlier states of the workspace, and the way back to one."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import Commands, WorkspaceOption, console, monitored, open_workspace
from app.domain.snapshots import NEWEST, WEEKS
from app.services.local_actor import command_line_actor
from app.services.snapshot_restoring import restore_snapshot
from app.services.snapshots import list_snapshots, take_snapshot

snapshots = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Earlier states of the workspace. One is taken before every import and training round; the newest "
    f"{NEWEST} stay, and the newest of each of {WEEKS} weeks.",
)


@snapshots.command("list")
def list_command(workspace: WorkspaceOption) -> None:
    """List the snapshots, newest first."""
    _, place = open_workspace(workspace)
    found = list_snapshots(place)
    if not found:
        console.print("No snapshot yet: one is taken before the next import or training round.")
        return
    table = Table(
        "snapshot", "taken (UTC)", "before", "who or what", "images", "decisions", box=None, header_style="bold"
    )
    for snapshot in found:
        tables = snapshot.manifest.tables
        numbers = (str(tables["image"].rows), str(tables["decision"].rows))
        taken = f"{snapshot.created_at:%Y-%m-%d %H:%M}"
        table.add_row(str(snapshot.number), taken, snapshot.reason, escape(snapshot.made_by), *numbers)
    console.print(table)


@snapshots.command("take")
def take_command(workspace: WorkspaceOption) -> None:
    """Take a snapshot now."""
    store, _ = open_workspace(workspace)
    with monitored("Snapshot") as monitor:
        snapshot = take_snapshot(store, "asked for", command_line_actor().name, monitor)
    console.print(f"Snapshot {snapshot.number} is taken.")
    for problem in snapshot.manifest.problems:
        console.print(f"[yellow]{escape(problem)}[/]")


@snapshots.command("restore")
def restore_command(
    number: Annotated[int, typer.Argument(min=1, help="Which snapshot; see pixelsieve snapshots list.")],
    workspace: WorkspaceOption,
) -> None:
    """Make the workspace what it was. The present state becomes a snapshot first; people and the audit log stay."""
    store, _ = open_workspace(workspace)
    with monitored("Restore") as monitor:
        before = restore_snapshot(store, number, command_line_actor(), monitor)
    console.print(f"The workspace is what it was in snapshot {number}.")
    console.print(f"To go forward again: pixelsieve snapshots restore {before.number} -w {escape(str(workspace))}")
