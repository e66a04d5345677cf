"""`pixelsieve threshold`: what the model in use promises, how large the queue would be elsewhere, and cutting it so."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import Commands, WorkspaceOption, console, monitored, open_workspace, percent
from app.cli.models import print_calibration, print_cuts, print_few_gold, print_missing_classes
from app.domain.cutting import QueueSize, threshold_words
from app.domain.promises import exact_percent
from app.services.cutting import preview_cuts
from app.services.local_actor import command_line_actor
from app.services.model_limits import ask_promise, read_asked
from app.services.predicting import find_model
from app.services.recutting import recut_pool
from app.services.rounds import list_models
from app.services.thresholds import choice_of, choose_threshold, cuts_in_force

_THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)

_NEGATIVE = {"ignore_unknown_options": True}
"""-0.1 is a number out of range, no unknown option."""

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
    """Say what is in force and promised, and how large the queue would be at other thresholds. Changes nothing."""
    store, _ = open_workspace(workspace)
    model = find_model(store, None)
    with store.reader() as session:
        choice, cuts = choice_of(session, model.id), cuts_in_force(session)
    thresholds = (None, *(at or _THRESHOLDS))
    if as_json:
        sizes = preview_cuts(store, thresholds)
    else:
        with monitored("Preview") as monitor:
            sizes = preview_cuts(store, thresholds, None, monitor.progress, monitor.should_cancel)
    gold = model.gold or {}
    if as_json:
        rows = [{"threshold": value, **asdict(size)} for value, size in zip(thresholds, sizes, strict=True)]
        told = {
            "model_id": model.id, "calibration": gold.get("calibration"), "asked": read_asked(store).model_dump(),
            "choice": None if choice is None else choice.to_json(), "cuts": [cut.to_json() for cut in cuts],
            "queue": rows,
        }  # fmt: skip
        json.dump(told, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    print_calibration(gold)
    if choice is not None:
        console.print(
            f"{escape(choice.chosen_by)} chose on {choice.chosen_at:%Y-%m-%d}: {threshold_words(choice.threshold)}."
        )
    print_cuts(cuts, str((gold.get("calibration") or {}).get("sentence", "")))
    print_missing_classes(store)
    console.print(_table(thresholds, sizes))
    if gold.get("calibration") is None:
        console.print(
            "Not calibrated: the threshold is on 1 - confidence, which says nothing about how many are wrong."
        )


@threshold.command("set", context_settings=_NEGATIVE)
def set_command(
    workspace: WorkspaceOption,
    value: Annotated[
        float, typer.Argument(min=0, max=1, help="Largest probability of being wrong of a reliable pixel, 0-1.")
    ],
) -> None:
    """Choose a threshold for the current model and cut the queue anew. What people acted on stays as it is."""
    _choose_and_cut(workspace, value)


@threshold.command("reset")
def reset_command(workspace: WorkspaceOption) -> None:
    """Go back to what the model file calls reliable, and cut the queue anew."""
    _choose_and_cut(workspace, None)


@threshold.command("ask", context_settings=_NEGATIVE)
def ask_command(
    workspace: WorkspaceOption,
    alpha: Annotated[
        float | None, typer.Argument(help="Largest share of wrong pixels among reliable ones, between 0 and 1.")
    ] = None,
    independent: Annotated[
        bool | None,
        typer.Option(
            "--independent/--frames",
            help="No picture comes from a video: each gold image counts by itself. Or: names that end in digits name "
            "frames, which count in blocks.",
        ),
    ] = None,
) -> None:
    """Say or set which error of reliable pixels the next export or retraining is asked to promise (1 % at first)."""
    store, _ = open_workspace(workspace)
    asked = read_asked(store)
    if alpha is not None or independent is not None:
        asked = ask_promise(store, command_line_actor(), alpha, independent)
    counted = "each gold image counts by itself" if asked.independent else "gold frames of a recording count in blocks"
    console.print(f"The next model is asked to promise that at most {exact_percent(asked.alpha)} are wrong; {counted}.")
    print_few_gold(store)
    if list_models(store):
        console.print(
            "Models that there are keep their promise. For a new one: pixelsieve retrain, or pixelsieve export "
            "--again, which calibrates the same student anew."
        )


def _choose_and_cut(workspace: WorkspaceOption, value: float | None) -> None:
    store, place = open_workspace(workspace)
    choose_threshold(store, command_line_actor(), value)
    with monitored("Cut") as monitor:
        report = recut_pool(store, place, monitor)
    for sentence in report.sentences:
        console.print(sentence)
    for name, reason in report.failed:
        console.print(f"[yellow]Not cut: {escape(name)}:[/] {escape(reason)}")
    with store.reader() as session:
        print_cuts(cuts_in_force(session))


def _table(thresholds: tuple[float | None, ...], sizes: list[QueueSize]) -> Table:
    table = Table("reliable if wrong with at most", "regions", "images", "pixels asked about", box=None)
    for value, size in zip(thresholds, sizes, strict=True):
        name = "(the model file's verdict)" if value is None else exact_percent(value)
        table.add_row(name, str(size.regions), str(size.images), percent(size.asked_share))
    return table
