"""`pixelsieve models` with its parts, `promote` and `rollback`: which model is used, and what speaks for it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import Commands, WorkspaceOption, console, monitored, open_workspace, percent
from app.cli.next_step import next_step
from app.domain.bootstrap import Interval
from app.domain.promotion import Change, PromotionLimits, RoundComparison
from app.services import model_changes
from app.services.gold import measure_again
from app.services.local_actor import command_line_actor
from app.services.model_comparison import compare as compare_models
from app.services.model_limits import read_limits, set_limits
from app.services.predicting import find_model, predicted_images, require_unchanged
from app.services.round_folder import only_round
from app.services.rounds import current_of, list_models
from app.storage.database import Store
from app.storage.models import Model

ModelArgument = Annotated[int, typer.Argument(min=1, help="Which model; see pixelsieve models.")]
PointsOption = Annotated[float | None, typer.Option(min=0, max=100, help="In points of IoU.")]

_ACTIONS = {"promoted": "promoted", "rolled_back": "went back to", "rejected": "set aside"}

models = typer.Typer(cls=Commands, invoke_without_command=True)


@models.callback()
def list_command(
    context: typer.Context,
    workspace: Annotated[Path | None, typer.Option("--workspace", "-w", help="Folder of the project.")] = None,
) -> None:
    """List the models of all rounds, with what they reached on the gold images; or compare, measure and look back."""
    if context.invoked_subcommand is None:
        if workspace is None:
            raise ValueError("pixelsieve models needs the project's folder: -w FOLDER")
        store, _ = open_workspace(workspace)
        print_models(store)


def print_models(store: Store) -> None:
    """A table of all models, latest round first."""
    rows = list_models(store)
    if not rows:
        console.print(f"No model yet. Next: pixelsieve train -w {escape(str(store.workspace.root))}")
        return
    table = Table(box=None, header_style="bold")
    for title in ("model", "round", "status", "mIoU, 95 %", "reliable", "right there", "method"):
        table.add_column(title, no_wrap=True)
    for model in rows:
        gold = model.gold or {}
        interval = gold.get("miou_interval")
        miou = percent(gold.get("miou")) + ("" if interval is None else f" ({_range(Interval(*interval), False)})")
        reliable = [percent(gold.get(key)) for key in ("reliable_coverage", "reliable_precision")]
        row = [str(model.id), str(model.round), model.status.value, miou, *reliable, model.method or ""]
        table.add_row(*row)
    console.print(table)
    for model in rows:
        print_model_problem(store, model)
        if model.note:  # In a column it would be squeezed to a letter a line on a narrow terminal.
            console.print(f"Model {model.id}: {escape(model.note)}")


def print_model_problem(store: Store, model: Model) -> None:
    """That a model's file is missing or not the one that was registered; nothing where it is."""
    try:
        require_unchanged(store.workspace.absolute(model.onnx_path), model.onnx_sha256)
    except (ValueError, OSError) as error:
        console.print(f"[yellow]Model {model.id} cannot be used:[/] {escape(str(error))}")


@models.command()
def compare(
    old: Annotated[int, typer.Argument(min=1, help="The earlier model; see pixelsieve models.")],
    new: Annotated[int, typer.Argument(min=1, help="The later one.")],
    workspace: WorkspaceOption,
    images: Annotated[int, typer.Option(min=0, help="How many gold images that got worse are named.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare any two models on the same gold images, class by class."""
    store, _ = open_workspace(workspace)
    comparison = compare_models(store, old, new)
    if as_json:
        print(json.dumps(asdict(comparison), indent=2))
        return
    rounds = find_model(store, old).round, find_model(store, new).round
    print_comparison(comparison, (f"round {rounds[0]}", f"round {rounds[1]}"), images)


@models.command()
def measure(
    model_ids: Annotated[list[int], typer.Argument(min=1, help="Which models; see pixelsieve models.")],
    workspace: WorkspaceOption,
) -> None:
    """Measure models on the gold images as they are now, so that they can be compared."""
    store, place = open_workspace(workspace)
    with only_round(place), monitored("Measure") as monitor:
        for index, model_id in enumerate(model_ids):
            part = monitor.part(index / len(model_ids), (index + 1) / len(model_ids))
            measure_again(store, find_model(store, model_id), part)
    print_models(store)


@models.command()
def history(workspace: WorkspaceOption) -> None:
    """Say who promoted, rolled back or rejected which model, when and why."""
    store, _ = open_workspace(workspace)
    for change in model_changes.list_changes(store):
        instead = "" if change.previous_round is None else f" in place of round {change.previous_round}"
        what = f"{_ACTIONS[change.action]} model {change.model_id} of round {change.round}{instead}"
        console.print(f"{change.decided_at:%Y-%m-%d %H:%M} UTC  {escape(change.user)} {what}")
        for sentence in (change.reason,) if change.reason else change.gold:
            console.print(f"    {escape(sentence)}")


@models.command()
def limits(workspace: WorkspaceOption, miou_fall: PointsOption = None, class_fall: PointsOption = None) -> None:
    """Show or set how far gold may fall before promoting takes a reason."""
    store, _ = open_workspace(workspace)
    found = read_limits(store)
    if miou_fall is not None or class_fall is not None:
        found = PromotionLimits(
            found.miou_fall if miou_fall is None else miou_fall / 100,
            found.class_fall if class_fall is None else class_fall / 100,
        )
        set_limits(store, command_line_actor(), found)
    console.print(
        f"Promoting takes a reason when gold mIoU falls by more than {100 * found.miou_fall:.1f} points or a class by "
        f"more than {100 * found.class_fall:.1f}."
    )


def promote(
    model_id: ModelArgument,
    workspace: WorkspaceOption,
    reason: Annotated[
        str | None, typer.Option(help="Why, in spite of a worse or unknown gold result; kept with the model.")
    ] = None,
    reject: Annotated[bool, typer.Option("--reject", help="Set a candidate aside instead.")] = False,
) -> None:
    """Make a model the current one, if gold allows it or for a reason."""
    store, place = open_workspace(workspace)
    if reject:
        model_changes.reject(store, model_id, command_line_actor(), reason)
        console.print(f"Model {model_id} is rejected; its files stay.")
        return
    _show_what_changes(store, model_id)
    model_changes.promote(store, model_id, command_line_actor(), reason)
    console.print(f"Model {model_id} is the current one now. Next: {next_step(store, place)}")


def rollback(
    model_id: ModelArgument,
    workspace: WorkspaceOption,
    reason: Annotated[str, typer.Option(help="Why; kept with the model.", show_default=False)],
) -> None:
    """Make an earlier model the current one again. Decisions stay; its proposals come back where they still hold."""
    store, place = open_workspace(workspace)
    _show_what_changes(store, model_id)
    model_changes.roll_back(store, model_id, command_line_actor(), reason)
    have = predicted_images(store)
    console.print(f"Model {model_id} is the current one again, and {have} images have its proposals.")
    console.print(f"Next: {next_step(store, place)}")


def print_comparison(
    comparison: RoundComparison, names: tuple[str, str] = ("current", "new"), worst_images: int = 5
) -> None:
    """A table of both rounds, the images that got worse, and the verdict."""
    if comparison.classes:
        console.print(f"On {comparison.num_images} gold images:")
        console.print(_table(comparison, names))
    worse = [change for change in comparison.images if (change.difference or 0.0) < 0][:worst_images]
    for image in worse:
        classes = ", ".join(f"{name} {100 * fall:+.0f}" for name, fall in image.worst_classes)
        told = f" ({classes})" if classes else ""
        console.print(f"worse: {escape(image.name)} {percent(image.old)} -> {percent(image.new)}{escape(told)}")
    for sentence in (*comparison.reasons, *comparison.warnings):
        console.print(escape(sentence))


def _table(comparison: RoundComparison, names: tuple[str, str]) -> Table:
    table = Table("", *names, "change", "95 % interval", "images", box=None, header_style="bold")
    for change in (comparison.miou, *comparison.classes):
        interval = "-" if change.interval is None else _range(change.interval, True)
        table.add_row(
            escape(change.name), percent(change.old), percent(change.new), _points(change), interval,
            str(change.num_images),
        )  # fmt: skip
    return table


def _points(change: Change) -> str:
    if change.difference is None:
        return "-"
    color = "green" if change.difference > 0 else "red" if change.difference < 0 else "white"
    return f"[{color}]{100 * change.difference:+.1f}[/]"


def _range(interval: Interval, sign: bool) -> str:
    style = "+.1f" if sign else ".1f"
    return f"{100 * interval.low:{style}} to {100 * interval.high:{style}}"


def _show_what_changes(store: Store, model_id: int) -> None:
    current = current_of(list_models(store))
    if current is not None and current.id != model_id:
        print_comparison(compare_models(store, current.id, model_id))
