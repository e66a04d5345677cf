"""`pixelsieve import` and `pixelsieve coco`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import DatabaseUrlOption, WorkspaceOption, console, monitored, open_workspace, progress_bar
from app.cli.next_step import next_step
from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.exporting import SELECTIONS, Selection
from app.domain.states import ImageRole
from app.services.audit import note
from app.services.coco_export import export_coco
from app.services.local_actor import command_line_actor
from app.services.workspaces import ImportSource, ImportSummary, plan_import, run_import
from app.storage.database import is_workspace, open_store
from datasets.lookup import dataset_names

_SHOWN = 20
_NAMED = 5
_PURPOSES = {
    ImageRole.LABELED: "trains the model",
    ImageRole.GOLD: "measures every round, never trained on",
    ImageRole.POOL: "gets proposals and is reviewed",
}


def import_command(
    source: Annotated[Path, typer.Argument(help="Folder of the data set.", show_default=False)],
    workspace: WorkspaceOption,
    format_name: Annotated[
        str, typer.Option("--format", help=f"How the folder is laid out: {', '.join(dataset_names())}.")
    ] = "folder",
    split: Annotated[
        str | None, typer.Option(help="Split under SOURCE/splits whose labels are used; default: every mask there is.")
    ] = None,
    gold_share: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the labeled images held out to measure rounds; 0: none.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of held-out images.")] = 0,
    independent: Annotated[
        bool,
        typer.Option(
            "--independent",
            help="No picture comes from a video. Otherwise names that end in digits name frames, and neighbors of gold "
            "are left out.",
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 2 if any file was refused; the others are imported.")
    ] = False,
    database_url: DatabaseUrlOption = None,
) -> None:
    """Make a workspace from images and the few masks there are. Safe to repeat.

    What is left out is named. The exit code is 0 if at least one image could be used, and with --strict if all could.
    """
    if format_name not in dataset_names():
        raise ValueError(f"unknown format {format_name!r}; choose one of {', '.join(dataset_names())}")
    if not source.is_dir():
        raise ValueError(f"there is no folder {source}; give the folder that holds the images and masks")
    if is_workspace(Workspace(source)):
        raise ValueError(f"{source} is a Pixelsieve workspace; give the folder that its images were imported from")
    plan = plan_import(ImportSource(source, format_name, split, gold_share, seed, independent))
    with progress_bar("Import") as report:
        store = open_store(Workspace(workspace), create=True, url=database_url)
        summary = run_import(store, plan, report)
    counts = {role.value: number for role, number in summary.counts.items()}
    note(store, command_line_actor(), AuditAction.IMPORT, str(source), {"format": format_name, **counts})
    print_import(summary, next_step(store, store.workspace))
    if not any(report.num_usable for report in summary.reports):
        raise ValueError(f"no image of {source} could be used; the lines above say why")
    if strict and summary.refused:
        raise ValueError(
            f"{_counted(len(summary.refused), 'file')} refused, and --strict allows none; the others are imported"
        )


def coco(
    workspace: WorkspaceOption,
    out: Annotated[Path, typer.Option(help="New or empty folder for annotations.json, masks/ and manifest.json.")],
    which: Annotated[
        Selection, typer.Option(help=". ".join(f"{name}: {what}" for name, what in SELECTIONS.items()) + ".")
    ] = "reviewed",
    replace: Annotated[bool, typer.Option("--replace", help="Put the export in the place of an earlier one.")] = False,
) -> None:
    """Write labels as COCO masks with index PNGs and hashes."""
    store, _ = open_workspace(workspace)
    with monitored("COCO") as monitor:
        manifest = export_coco(store, out, which, monitor.stoppable_progress, replace=replace)
    details = {"which": which, "images": manifest.images}
    note(store, command_line_actor(), AuditAction.EXPORT, str(out), details)
    console.print(f"{escape(str(out))}: {manifest.images} images, {manifest.annotations} annotations")
    for item in manifest.skipped[:_SHOWN]:
        console.print(f"[yellow]Left out {escape(item.name)}:[/] {escape(item.reason)}")
    if len(manifest.skipped) > _SHOWN:
        console.print(f"... and {len(manifest.skipped) - _SHOWN} more, all listed in manifest.json")


def print_import(summary: ImportSummary, then: str | None = None) -> None:
    """Counts, what was left out and why, and the next command; None where the caller goes on by itself."""
    table = Table("role", "images", "used for", box=None, header_style="bold")
    for role, purpose in _PURPOSES.items():
        table.add_row(role.value, str(summary.counts[role]), purpose)
    console.print(table)
    if summary.left_out:
        console.print(
            f"{_counted(len(summary.left_out), 'frame')} left out right beside a gold frame, because gold must stay "
            f"unseen: {_some(summary.left_out)}. If your pictures are no frames of a video, import with --independent."
        )
    duplicates = [f"{name} (as {other})" for report in summary.reports for name, other in report.duplicates]
    if duplicates:
        console.print(
            f"{_counted(len(duplicates), 'image')} left out with the same bytes as another: {_some(duplicates)}"
        )
    named, restored = (sum(numbers) for numbers in zip(*((r.named, r.restored) for r in summary.reports), strict=True))
    if named:
        console.print(f"{_counted(named, 'known image')} named after the file; ids stay.")
    if restored:
        console.print(
            f"{_counted(restored, 'known image')} missing or damaged in the workspace; the files are there again."
        )
    if summary.counts[ImageRole.GOLD] == 0:
        console.print("[yellow]No gold images: nothing will say whether a later round is better.[/]")
    for warning in summary.warnings:
        console.print(f"[yellow]{escape(warning)}[/]")
    for item in summary.refused[:_SHOWN]:
        console.print(f"[red]Refused {escape(item.name)}:[/] {escape(item.reason)}")
    if len(summary.refused) > _SHOWN:
        console.print(f"... and {len(summary.refused) - _SHOWN} more refused files")
    if then is not None:
        console.print(f"Preset {summary.preset}. Next: {then}")


def _counted(number: int, noun: str) -> str:
    """Noun and verb for a number: "1 frame was", "2 frames were"."""
    return f"1 {noun} was" if number == 1 else f"{number} {noun}s were"


def _some(names: Sequence[str]) -> str:
    """The first of a list of names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return escape(", ".join(names[:_NAMED]) + more)
