"""`pixelsieve suspects`: labels that may be wrong, the likeliest first."""

import json
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import WorkspaceOption, console, errors, monitored, open_workspace
from app.domain.states import SuspectAnswer
from app.domain.suspects import MAX_AREA, MIN_AREA
from app.services.processes import Monitor
from app.services.suspect_list import SuspectList, list_suspects
from app.services.suspects import KEPT, find_suspects, keep_suspects
from app.storage.database import Store
from app.storage.settings import require_class_set

_SAID = {
    SuspectAnswer.OPEN: "", SuspectAnswer.RIGHT: "right", SuspectAnswer.SENT: "in review",
    SuspectAnswer.CHANGED: "changed since",
}  # fmt: skip


def suspects(
    workspace: WorkspaceOption,
    model_id: Annotated[int | None, typer.Option("--model", min=1, help="Default: the current model.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=KEPT, help="How many are shown.")] = 30,
    min_area: Annotated[int, typer.Option(min=1, max=MAX_AREA, help="Leave out parts with fewer pixels.")] = MIN_AREA,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as the HTTP API sends it.")] = False,
    last: Annotated[bool, typer.Option("--last", help="Show what was found last, without looking again.")] = False,
) -> None:
    """List parts of imported and corrected labels that the model doubts most, for a second look. Changes no label."""
    store, _ = open_workspace(workspace)
    if not last:
        _look(store, model_id, min_area, quiet=as_json)
    listed = list_suspects(store, limit)
    if listed is None:
        raise LookupError(f"nobody has looked for wrong labels yet; do: pixelsieve suspects -w {workspace}")
    if as_json:
        print(json.dumps(listed.to_json(), indent=2))
        return
    with store.reader() as session:
        names = require_class_set(session).names
    console.print(_table(listed, names))
    console.print(
        f"{listed.num_parts} parts of labels of at least {listed.min_area} pixels, by the model of round "
        f"{listed.round}; its doubt is no proof. Pictures are on the page Quality: pixelsieve review -w {workspace}"
    )


def _look(store: Store, model_id: int | None, min_area: int, quiet: bool) -> None:
    """Look for wrong labels and keep what was found; without a word where only JSON is wanted."""
    with nullcontext(Monitor()) if quiet else monitored("Suspects") as monitor:
        found = find_suspects(store, model_id, monitor, min_area)
    keep_suspects(store, found)
    for name, reason in found.failed:
        errors.print(f"[yellow]not looked at: {escape(name)}: {escape(reason)}[/]")


def _table(listed: SuspectList, names: tuple[str, ...]) -> Table:
    table = Table("", "image", "labeled as", "model says", "x, y, width, height", "pixels", "score", "", box=None)
    for row in listed.rows:
        x0, y0, x1, y1 = row.bbox
        table.add_row(
            str(row.rank), escape(row.image_name), escape(names[row.class_id]), escape(names[row.suggested]),
            f"{x0}, {y0}, {x1 - x0}, {y1 - y0}", str(row.area), f"{row.score:.2f}", _SAID[row.answer],
        )  # fmt: skip
    return table
