"""`pixelsieve train`, `export`, `predict` and `retrain`."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.cli.choosing import print_comparison
from app.cli.console import (
    WorkspaceOption,
    console,
    monitored,
    open_workspace,
    parse_overrides,
    percent,
    print_failures,
)
from app.cli.next_step import next_step
from app.cli.review import print_listed
from app.domain.audit import AuditAction
from app.domain.promises import unchanged
from app.domain.promotion import Verdict
from app.domain.states import ImageRole, ModelStatus
from app.services.audit import note
from app.services.label_warnings import few_gold_images, missing_classes
from app.services.local_actor import command_line_actor
from app.services.model_changes import promote as promote_model
from app.services.model_comparison import compare_with_current
from app.services.model_limits import read_asked
from app.services.predicting import PredictReport, find_model, has_doubts, predict_pool
from app.services.reviewing import ReviewService
from app.services.round_folder import RoundState, find_round
from app.services.round_steps import CalibratedScore, RoundRequest, TrainingCommands, export_round, train_round
from app.services.rounds import start_round
from app.services.thresholds import CutInForce, cuts_in_force, note_of
from app.services.workspaces import count_roles
from app.storage.database import Store
from app.storage.models import Model

PresetOption = Annotated[
    str | None,
    typer.Option(help="Preset of `python -m training`, for example demo, camvid_cpu. Default: the workspace's own."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value, for example run.steps=600.")
]
ScoreOption = Annotated[
    CalibratedScore,
    typer.Option(help="What is calibrated on the gold images; combined looks at many scores and takes more of them."),
]
AgainOption = Annotated[bool, typer.Option(help="Train a new round even if the last one could be continued.")]

_NEARLY_ALL = 0.995
"""Share of reliable pixels from which it is said that nobody is left to be asked. Chosen by us."""

_NOBODY_IS_ASKED = (
    "Nobody is asked about any doubt: at the threshold in force the model is sure nearly everywhere. What a stricter "
    "one would ask about: pixelsieve threshold show -w {}"
)


def train(
    workspace: WorkspaceOption,
    preset: PresetOption = None,
    set_: SetOption = None,
    again: AgainOption = False,
) -> None:
    """Train a student from scratch on the present labels; an interrupted training is continued."""
    store, place = open_workspace(workspace)
    request = RoundRequest(preset, parse_overrides(set_ or []), from_scratch=True, again=again)
    _note(store, "train", {"preset": preset, **request.overrides})
    with monitored("Train") as monitor:
        folder = train_round(store, place, request, monitor)
    console.print(f"Round {folder.number} is trained with preset {folder.plan.preset}: {escape(str(folder.run_dir))}")
    console.print(f"Next: {next_step(store, place)}")


def export(
    workspace: WorkspaceOption,
    round_number: Annotated[
        int | None, typer.Option("--round", min=1, help="Default: the latest trained round.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare the ONNX file with torch and refuse one that differs.")
    ] = True,
    score: ScoreOption = CalibratedScore.CONFIDENCE,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Calibrate an exported round as it is asked now; the same student becomes a new round."
        ),
    ] = False,
) -> None:
    """Turn a trained round into one ONNX file, measure it on the gold images and register it."""
    store, place = open_workspace(workspace)
    _note(store, "export", {"round": round_number, "score": score.value, "again": again})
    was_exported = find_round(place, round_number).state is RoundState.REGISTERED and not again
    if not was_exported:
        print_few_gold(store, score is CalibratedScore.COMBINED)
    with monitored("Export") as monitor:
        model_id = export_round(store, place, round_number, monitor, TrainingCommands(score), check, again)
    model = find_model(store, model_id)
    folder = find_round(place, model.round)
    megabytes = folder.onnx.stat().st_size / 1e6
    console.print(
        f"{escape(str(folder.onnx))} ({megabytes:.1f} MB, method {model.method}) is model {model_id}, {model.status}."
    )
    if check:
        console.print(f"It agrees with PyTorch; the table is at the end of {escape(str(folder.log))}")
    print_gold(model)
    print_missing_classes(store)
    if was_exported:
        console.print(f"[yellow]{escape(unchanged(note_of(model), read_asked(store).alpha, score.value))}[/]")
        anew = f"pixelsieve export --again --round {model.round} -w {escape(str(workspace))}"
        console.print(f"To calibrate the same student as it is asked now: {anew}")
    console.print(f"Next: {next_step(store, place)}")


def predict(
    workspace: WorkspaceOption,
    model_id: Annotated[int | None, typer.Option("--model", min=1, help="Default: the current model.")] = None,
) -> None:
    """Propose labels for the pool and queue the regions that the model cannot be trusted on."""
    store, place = open_workspace(workspace)
    _note(store, "predict", {"model_id": model_id})
    with monitored("Predict") as monitor:
        report = predict_pool(store, place, model_id, monitor.progress, monitor.should_cancel)
    print_prediction(report)
    print_listed(ReviewService(store).counts().images, count_roles(store)[ImageRole.POOL])
    with store.reader() as session:
        print_cuts(cuts_in_force(session))
    print_missing_classes(store)
    if not has_doubts(store):
        console.print(f"[yellow]{_NOBODY_IS_ASKED.format(escape(str(workspace)))}[/]")
    console.print(f"Next: {next_step(store, place)}")


def retrain(
    workspace: WorkspaceOption,
    preset: PresetOption = None,
    set_: SetOption = None,
    from_scratch: Annotated[bool, typer.Option(help="Do not start from the current model's weights.")] = False,
    promote_if_better: Annotated[
        bool, typer.Option("--promote-if-better", help="Promote the new model when gold says that it may be.")
    ] = False,
    again: AgainOption = False,
    score: ScoreOption = CalibratedScore.CONFIDENCE,
) -> None:
    """Train the next round with the corrected labels, export it, and compare it with the current model on gold."""
    store, place = open_workspace(workspace)
    find_model(store, None)  # Without a model this would be a first training, which takes far longer.
    request = RoundRequest(preset, parse_overrides(set_ or []), from_scratch, again)
    _note(store, "retrain", {"preset": preset, "score": score.value, **request.overrides})
    print_few_gold(store, score is CalibratedScore.COMBINED)
    with monitored("Retrain") as monitor:
        model_id = start_round(store, place, request, monitor, TrainingCommands(score))
    model = find_model(store, model_id)
    console.print(f"Round {model.round} is model {model_id}, {model.status}.")
    if model.status is ModelStatus.CURRENT:
        print_gold(model)
        console.print(f"Next: {next_step(store, place)}")
        return
    comparison = compare_with_current(store, model_id)
    print_comparison(comparison)
    if model.gold is not None:
        print_calibration(model.gold)
    if promote_if_better and comparison.verdict is Verdict.PROMOTE:
        promote_model(store, model_id, command_line_actor())
        console.print(f"Model {model_id} is the current one now. Next: {next_step(store, place)}")
    else:
        console.print(
            f"The current model stays. To replace it: pixelsieve promote {model_id} -w {escape(str(workspace))}"
        )


def print_gold(model: Model) -> None:
    """What a model reached on the gold images."""
    gold = model.gold
    if gold is None:
        console.print("[yellow]There are no gold images, so nothing says how good this model is.[/]")
        return
    console.print(
        f"On {gold['num_images']} gold images: mIoU {percent(gold['miou'])}, "
        f"{percent(gold['pixel_accuracy'])} of the pixels right. "
        f"Called reliable: {percent(gold['reliable_coverage'])} of the pixels, "
        f"{percent(gold['reliable_precision'])} of those right."
    )
    if (gold["reliable_coverage"] or 0) >= _NEARLY_ALL:
        console.print(
            "[yellow]Nearly every pixel is called reliable, so after a prediction hardly anybody is asked about "
            "anything.[/] Choose a stricter threshold then: pixelsieve threshold show"
        )
    print_calibration(gold)


def print_calibration(gold: dict[str, Any]) -> None:
    """What is promised about reliable pixels, and that gold says less about it than audits do."""
    note = gold.get("calibration")
    if note is None:
        reason = gold.get("not_calibrated") or "the model file has no calibration"
        console.print(f"Not calibrated, nothing is promised about reliable pixels: {escape(reason)}.")
        return
    console.print(escape(str(note.get("sentence", ""))))
    if note.get("decides"):
        console.print("The threshold was chosen on these gold images: audits measure it on others.")


def print_missing_classes(store: Store) -> None:
    """Classes about which no promise says anything."""
    with store.reader() as session:
        for warning in missing_classes(session):
            console.print(f"[yellow]{escape(warning)}[/]")


def print_few_gold(store: Store, is_combined: bool = False) -> None:
    """That the gold images cannot carry the promise that is asked for: known before anything is calibrated."""
    few = few_gold_images(store, is_combined)
    if few is not None:
        console.print(f"[yellow]{escape(few)}[/]")


def print_cuts(cuts: Sequence[CutInForce], said: str = "") -> None:
    """What is promised about the pool, and how many of its images look unlike those that the promise is about.

    Args:
        cuts: in force.
        said: the promise that was printed before and is not repeated.
    """
    for cut in cuts:
        sentence = cut.promise.sentence
        if said and said in sentence:
            sentence = sentence.replace(said, "").strip() or "The promise above is about them."
        console.print(escape(f"{cut.images} images, {cut.words}. {sentence}"))
        color = "yellow" if cut.shift.is_alarm else "default"
        console.print(f"[{color}]{escape(cut.shift.sentence)}[/]")


def print_prediction(report: PredictReport) -> None:
    """What became of the pool."""
    ran_on = f" on the {report.device}" if report.device else ""
    restored = f"{report.restored} have earlier proposals of it again, " if report.restored else ""
    console.print(
        f"Model {report.model_id} proposed labels for {report.predicted} images{ran_on}; "
        f"{restored}{report.skipped} had them."
    )
    print_failures(report.failed)


def _note(store: Store, command: str, details: dict[str, Any]) -> None:
    """Work started here is in the audit log as jobs started on a page are."""
    note(store, command_line_actor(), AuditAction.JOB_STARTED, f"pixelsieve {command}", details)
