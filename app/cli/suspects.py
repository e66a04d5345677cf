"""`pixelsieve suspects`: labels that may be wrong, the likeliest first."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select

from app.cli.console import WorkspaceOption, console, monitored, open_workspace
from app.domain.suspects import MIN_AREA
from app.services.suspects import find_suspects
from app.storage.models import Image
from app.storage.settings import require_class_set


def suspects(
    workspace: WorkspaceOption,
    model_id: Annotated[int | None, typer.Option("--model", min=1, help="Default: the current model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many are shown.")] = 30,
    min_area: Annotated[int, typer.Option(min=1, help="Leave out parts with fewer pixels.")] = MIN_AREA,
) -> None:
    """List parts of imported and corrected labels that the model doubts most, for a second look. Changes nothing."""
    store, _ = open_workspace(workspace)
    with monitored("Suspects") as monitor:
        found = find_suspects(store, model_id, monitor, min_area)
    with store.reader() as session:
        names = require_class_set(session).names
        samples = {row.id: row.name for row in session.execute(select(Image.id, Image.name))}
    table = Table("", "image", "labeled as", "model says", "x, y, width, height", "pixels", "score", box=None)
    for number, suspect in enumerate(found[:limit], start=1):
        part = suspect.part
        x0, y0, x1, y1 = part.bbox
        table.add_row(
            str(number), escape(samples[part.image_id]), escape(names[part.class_id]), escape(names[part.suggested]),
            f"{x0}, {y0}, {x1 - x0}, {y1 - y0}", str(part.area), f"{suspect.score:.2f}",
        )  # fmt: skip
    console.print(table)
    console.print(f"{len(found)} parts of labels of at least {min_area} pixels; the model's doubt is no proof.")
