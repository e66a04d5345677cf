"""`pixelsieve threshold`: what the current model promises, and how large the queue would be at other thresholds."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from app.cli.console import Commands, WorkspaceOption, console, monitored, open_workspace, percent
from app.cli.models import print_calibration
from app.domain.cutting import QueueSize
from app.services.cutting import preview_cuts
from app.services.predicting import find_model

_THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)

threshold = typer.Typer(cls=Commands, no_args_is_help=True, help="How sure the model must be for nobody to be asked.")


@threshold.command("show")
def show_command(
    workspace: WorkspaceOption,
    at: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Largest probability of being wrong of a reliable pixel; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is promised about reliable pixels, and how large the queue would be at thresholds. Changes nothing."""
    store, place = open_workspace(workspace)
    model = find_model(store, None)
    thresholds = (None, *(at or _THRESHOLDS))
    if as_json:
        sizes = preview_cuts(store, thresholds)
    else:
        with monitored("Preview") as monitor:
            sizes = preview_cuts(store, thresholds, None, monitor.progress, monitor.should_cancel)
    gold = model.gold or {}
    if as_json:
        rows = [{"threshold": value, **asdict(size)} for value, size in zip(thresholds, sizes, strict=True)]
        told = {"model_id": model.id, "calibration": gold.get("calibration"), "queue": rows}
        json.dump(told, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    print_calibration(gold)
    console.print(_table(thresholds, sizes))
    if gold.get("calibration") is None:
        console.print(
            "Not calibrated: the threshold is on 1 - confidence, which says nothing about how many are wrong."
        )


def _table(thresholds: tuple[float | None, ...], sizes: list[QueueSize]) -> Table:
    table = Table("reliable if wrong with at most", "regions", "images", "pixels asked about", box=None)
    for value, size in zip(thresholds, sizes, strict=True):
        name = "(the model file's verdict)" if value is None else percent(value)
        table.add_row(name, str(size.regions), str(size.images), percent(size.asked_share))
    return table
