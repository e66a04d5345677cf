"""`pixelsieve backup` and `pixelsieve restore`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from app.cli.console import DatabaseUrlOption, WorkspaceOption, console, monitored, open_workspace
from app.config import Workspace
from app.services.backup_restoring import RestoreReport, check_backup, restore_backup
from app.services.backups import BackupReport, write_backup
from app.services.local_actor import command_line_actor

_SHOWN = 20


def backup(
    out: Annotated[Path, typer.Argument(help="New file, for example ws-monday.zip.", show_default=False)],
    workspace: WorkspaceOption,
) -> None:
    """Save the whole workspace in one file, while people go on working; it is read back before it counts."""
    store, _ = open_workspace(workspace)
    with monitored("Backup") as monitor:
        report = write_backup(store, out, command_line_actor(), monitor)
    console.print(f"{escape(str(out))}: {report.num_bytes:,} bytes.")
    _print_content(report)


def restore(
    file: Annotated[Path, typer.Argument(help="What pixelsieve backup wrote.", show_default=False)],
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="New folder; nothing is overwritten.")
    ] = None,
    database_url: DatabaseUrlOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only read the file completely and compare its hashes.")
    ] = False,
) -> None:
    """Make a new workspace from a backup, after all of it was checked."""
    if check:
        with monitored("Check") as monitor:
            report = check_backup(file, monitor)
        console.print(f"{escape(str(file))} is whole.")
    elif workspace is None:
        raise ValueError("name the new folder with --workspace, or read the file with --check")
    else:
        with monitored("Restore") as monitor:
            report = restore_backup(file, Workspace(workspace), database_url, command_line_actor(), monitor)
        console.print(f"{escape(str(workspace))} is what was saved. Everybody has to sign in again.")
        console.print("API tokens that were revoked after the backup work again: revoke them on the Admin page.")
    _print_content(report)


def _print_content(report: BackupReport | RestoreReport) -> None:
    """Counts and hashes: equal hashes are equal content."""
    console.print(f"{report.rows:,} rows, sha256 {report.rows_sha256}")
    console.print(f"{report.files:,} files, sha256 {report.files_sha256}")
    for problem in report.problems[:_SHOWN]:
        console.print(f"[yellow]{escape(problem)}[/]")
    if len(report.problems) > _SHOWN:
        console.print(f"... and {len(report.problems) - _SHOWN} more")
