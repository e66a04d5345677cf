"""`pixelsieve actions` and `pixelsieve quality`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from app.cli.console import WorkspaceOption, console, open_workspace
from app.services.action_log import ActionFilter, LogFormat, read_actions, write_actions
from datasets.files import write_atomically


def actions(
    workspace: WorkspaceOption,
    out: Annotated[Path, typer.Option(help="File to write; .csv is a table, .jsonl one JSON object a line.")],
    user: Annotated[str | None, typer.Option(help="Only this person's actions.")] = None,
) -> None:
    """Write the raw action log: who did what to which region, when, and what it cost. Holds no pixels."""
    store, _ = open_workspace(workspace)
    found = read_actions(store, ActionFilter(user))
    lines = list(write_actions(found, _format_of(out)))
    write_atomically(out, "".join(lines).encode())
    number = len(lines) - (_format_of(out) is LogFormat.CSV)  # A table begins with a line of names.
    console.print(f"{escape(str(out))}: {number} actions")


def _format_of(path: Path) -> LogFormat:
    try:
        return LogFormat(path.suffix.lstrip(".").lower())
    except ValueError:
        endings = " or ".join(f".{each}" for each in LogFormat)
        raise ValueError(f"{path} must end in {endings}, which says how the log is written") from None
