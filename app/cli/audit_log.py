"""`pixelsieve audit-log`: who changed what, and when."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import WorkspaceOption, console, open_workspace
from app.domain.audit import AuditAction
from app.services.audit import AuditFilter, AuditRow, list_entries, to_csv
from datasets.files import write_atomically

_ENDINGS = (".csv", ".jsonl")


def audit_log(
    workspace: WorkspaceOption,
    user: Annotated[str | None, typer.Option(help="Only what this person did.")] = None,
    action: Annotated[AuditAction | None, typer.Option(help="Only entries of this kind.")] = None,
    target: Annotated[str | None, typer.Option(help="Only entries whose target holds this text.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Not before this moment (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this moment (UTC).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")] = 50,
    out: Annotated[
        Path | None, typer.Option(help="File to write; .csv is a table, .jsonl one JSON object a line.")
    ] = None,
) -> None:
    """List who signed in, changed people, models or settings, took over images, and took data out; newest first."""
    if out is not None and out.suffix.lower() not in _ENDINGS:
        raise ValueError(f"{out} must end in {' or '.join(_ENDINGS)}, which says how the log is written")
    store, _ = open_workspace(workspace)
    filters = AuditFilter(user, action, target, _in_utc(since), _in_utc(until))
    rows = list_entries(store, filters, limit)
    if out is None:
        console.print(_table(rows) if rows else "No entry with this filter.")
        return
    lines = to_csv(rows) if out.suffix.lower() == ".csv" else "".join(json.dumps(row.to_json()) + "\n" for row in rows)
    write_atomically(out, lines.encode())
    console.print(f"{escape(str(out))}: {len(rows)} entries")


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _table(rows: list[AuditRow]) -> Table:
    table = Table("when (UTC)", "who", "as", "what", "to what", box=None, header_style="bold")
    for row in rows:
        when = f"{row.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(when, escape(row.actor), row.role or "-", row.action.replace("_", " "), escape(row.target))
    return table
