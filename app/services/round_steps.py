"""The steps of a training round: freeze the labels, train, export, measure on gold, register.

Training and export are child processes; this package knows the model as an ONNX file only. Until the last step nothing
but the round's own folder changes.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import func, select

from app.config import Workspace
from app.domain.presets import require_preset
from app.domain.states import ImageRole, ModelStatus
from app.services.gold import evaluate_gold, gold_images, measure_again, require_frozen_gold
from app.services.gold_files import remove_other_measurements
from app.services.labels import training_entries
from app.services.model_limits import read_asked
from app.services.processes import (
    CANNOT_CALIBRATE_EXIT_CODE,
    USER_ERROR_EXIT_CODE,
    ChildFailedError,
    Monitor,
    python_module,
    require_training,
    run_child,
)
from app.services.round_folder import (
    RoundFolder,
    RoundPlan,
    RoundState,
    find_round,
    new_round,
    only_round,
    round_folders,
    unfinished_round,
)
from app.services.snapshots import take_snapshot
from app.services.workspaces import preset_for_training
from app.storage.database import Store
from app.storage.models import Decision, Image, Model, Proposal
from app.storage.settings import CalibrationSettings, require_class_set
from datasets.files import sha256_of
from datasets.formats.manifest import ManifestEntry, write_manifest
from datasets.progress import Progress


class RoundCommands(Protocol):
    """Which commands train and export; tests put others in their place."""

    def fit(self, folder: RoundFolder, plan: RoundPlan, init_from: str | None, resume: bool) -> list[str]: ...

    def calibrate(self, folder: RoundFolder, asked: CalibrationSettings) -> list[str]: ...

    def export(self, folder: RoundFolder, check: bool) -> list[str]: ...

    def check(self, folder: RoundFolder) -> list[str]: ...


class CalibratedScore(StrEnum):
    """What a calibration may turn into the probability of being wrong; see docs/calibration.md."""

    CONFIDENCE = "confidence"
    MARGIN = "margin"
    COMBINED = "combined"


@dataclass(frozen=True)
class TrainingCommands:
    """`python -m training` and `python -m export` with this interpreter.

    Attributes:
        score: what is calibrated.
    """

    score: CalibratedScore = CalibratedScore.CONFIDENCE

    def fit(self, folder: RoundFolder, plan: RoundPlan, init_from: str | None, resume: bool) -> list[str]:
        """Train `folder.run_dir` on `folder.manifest`.

        Raises:
            ValueError: the training packages are not installed.
        """
        require_training()
        arguments = ["fit", "--preset", plan.preset, "--run-dir", str(folder.run_dir)]
        arguments += ["--data-format", "manifest", "--data-root", str(folder.manifest.absolute()), "--labeled-split="]
        arguments += ["--progress-file", str(folder.progress_file)]
        for key, value in plan.overrides.items():
            arguments += ["--set", f"{key}={value}"]
        if init_from is not None:
            arguments += ["--init-from", init_from]
        return python_module("training", *arguments, *(["--resume"] if resume else []))

    def calibrate(self, folder: RoundFolder, asked: CalibrationSettings) -> list[str]:
        """Calibrate `folder.run_dir` on the gold images.

        Raises:
            ValueError: the training packages are not installed.
        """
        require_training()
        data = ["--data-format", "manifest", "--data-root", str(folder.manifest), "--split", "gold"]
        run = ["--run-dir", str(folder.run_dir), "--progress-file", str(folder.progress_file)]
        promise = [f"--alpha={asked.alpha}", *(["--independent"] if asked.independent else [])]
        return python_module("training", "calibrate", *run, *data, "--score", self.score.value, *promise)

    def export(self, folder: RoundFolder, check: bool) -> list[str]:
        """Write `folder.onnx` from `folder.run_dir`; with `check`, only if it agrees with torch.

        Raises:
            ValueError: the training packages are not installed.
        """
        require_training()
        flag = "--check" if check else "--no-check"
        paths = ["--run-dir", str(folder.run_dir), "--out", str(folder.onnx)]
        return python_module("export", "onnx", *paths, flag, "--progress-file", str(folder.progress_file))

    def check(self, folder: RoundFolder) -> list[str]:
        """Compare `folder.onnx` with the run it came from, once more.

        Raises:
            ValueError: the training packages are not installed.
        """
        require_training()
        return python_module("export", "check", str(folder.onnx), "--run-dir", str(folder.run_dir))


@dataclass(frozen=True)
class RoundRequest:
    """What a user asks for.

    Attributes:
        preset: None is the workspace's own.
        overrides: config key -> value.
        from_scratch: do not start from the current model's weights.
        again: train a new round even if the last one has the same plan and was interrupted or not exported.
    """

    preset: str | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    from_scratch: bool = False
    again: bool = False


def train_round(
    store: Store, workspace: Workspace, request: RoundRequest, monitor: Monitor, commands: RoundCommands | None = None
) -> RoundFolder:
    """Freeze the present labels and train a student on them; returns the folder of the trained round.

    Raises:
        WorkCancelledError: stopped on request; a later call with the same plan continues.
        ChildFailedError: training failed; a loss that became NaN is one of the reasons.
        ValueError: nothing to train on, or no preset is known.
    """
    commands = commands or TrainingCommands()
    with only_round(workspace):
        plan = make_plan(store, workspace, request)
        folder = None if request.again else unfinished_round(workspace, plan)
        if folder is None:
            folder = _prepare(store, workspace, plan, monitor)
        if folder.state is RoundState.TRAINING:
            _fit(workspace, folder, monitor, commands)
        return folder


def export_round(
    store: Store,
    workspace: Workspace,
    number: int | None,
    monitor: Monitor,
    commands: RoundCommands | None = None,
    check: bool = True,
    again: bool = False,
) -> int:
    """Export a trained round, measure it on the gold images and register its model; returns the model's id.

    A round that is registered already stays as it is; with `check` it is compared with torch once more.

    Args:
        number: None is the latest trained round.
        check: compare the file with torch and refuse one that differs.
        again: calibrate a registered round as it is asked now, and register the same student as a new round.

    Raises:
        WorkCancelledError, ChildFailedError: nothing was registered.
        LookupError: no such round.
        ValueError: the round is not trained to its end.
    """
    commands = commands or TrainingCommands()
    with only_round(workspace):
        folder = find_round(workspace, number)
        if folder.state in (RoundState.TRAINING, RoundState.FAILED):
            raise ValueError(
                f"round {folder.number} is not trained to its end ({folder.state.value}); continue it with: "
                f"pixelsieve train -w {workspace.root}"
            )
        if folder.state is RoundState.REGISTERED and again:
            return _export_again(store, workspace, folder, monitor, commands, check)
        if folder.state is RoundState.REGISTERED and check:
            run_child(commands.check(folder), monitor, folder.log)
        _finish(store, workspace, folder, monitor, commands, check)
        return _model_of(store, folder.number)


def _export_again(
    store: Store, workspace: Workspace, folder: RoundFolder, monitor: Monitor, commands: RoundCommands, check: bool
) -> int:
    """Export a copy of a registered round; a copy that comes to nothing is removed, because nobody trained it."""
    copy = _copy_trained(store, workspace, folder)
    try:
        _finish(store, workspace, copy, monitor, commands, check)
    except BaseException:
        with store.reader() as session:
            is_registered = session.scalar(select(Model.id).where(Model.round == copy.number)) is not None
        if not is_registered:
            shutil.rmtree(copy.path)
        raise
    return _model_of(store, copy.number)


def _finish(
    store: Store, workspace: Workspace, folder: RoundFolder, monitor: Monitor, commands: RoundCommands, check: bool
) -> None:
    """The steps from a trained round to a registered one that are left."""
    if folder.state is RoundState.TRAINED:
        _calibrate(store, folder, monitor.part(0.0, 0.2, "calibrating"), commands)
        run_child(commands.export(folder, check), monitor.part(0.2, 0.5, "ONNX file"), folder.log, folder.progress_file)
        folder.set_state(RoundState.EXPORTED)
    if folder.state is RoundState.EXPORTED:
        _register(store, workspace, folder, monitor.part(0.5, 1.0, "gold images"))


def make_plan(store: Store, workspace: Workspace, request: RoundRequest) -> RoundPlan:
    """What a round started now would train on, and how.

    Raises:
        ValueError: nothing is labeled, no preset is known, or there is none of that name.
    """
    if request.preset is not None:
        require_preset(request.preset)
    with store.reader() as session:
        current = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
        is_labeled = (Image.role == ImageRole.LABELED) & Image.deleted_at.is_(None)
        labeled = session.scalar(select(func.count()).select_from(Image).where(is_labeled))
        decisions = session.scalar(select(func.max(Decision.id)))
        proposals = session.scalars(select(Proposal.id).where(Proposal.active).order_by(Proposal.id)).all()
        images = session.execute(
            select(Image.sha256, Image.role, Image.label_path).where(Image.deleted_at.is_(None)).order_by(Image.id)
        ).all()
    if not labeled and not decisions:
        raise ValueError(
            f"nothing is labeled in {workspace.root}: training needs at least a few masks. "
            "Import a folder that has some, with --split or masks beside the images."
        )
    seen = json.dumps([decisions, list(proposals), [list(map(str, image)) for image in images]])
    starts_from = None if current is None or request.from_scratch else current.run_dir
    return RoundPlan(
        preset=request.preset or preset_for_training(store, from_model=starts_from is not None),
        overrides=dict(request.overrides),
        init_from=starts_from,
        use_pseudo_labels=bool(proposals),
        labels_version=hashlib.sha256(seen.encode()).hexdigest(),
    )


def _prepare(store: Store, workspace: Workspace, plan: RoundPlan, monitor: Monitor) -> RoundFolder:
    """Make the folder of a new round with the labels as they are now."""
    monitor.progress(Progress(0, 1, "freezing labels"))
    require_frozen_gold(store)  # Asked again when they are measured, but hours of training would be lost by then.
    with store.reader() as session:
        class_set = require_class_set(session)
    number = _next_number(store, workspace)
    take_snapshot(store, "round", f"round {number}", monitor.part(0.0, 0.0, "snapshot"))
    folder = new_round(workspace, number)
    entries = training_entries(store, folder.path, pseudo=plan.use_pseudo_labels)
    write_manifest(folder.manifest, class_set, [*entries, *_gold_entries(store)])
    folder.write(plan, RoundState.TRAINING)
    return folder


def _next_number(store: Store, workspace: Workspace) -> int:
    with store.reader() as session:
        last_model = session.scalar(select(func.max(Model.round))) or 0
    return 1 + max([last_model, *(folder.number for folder in round_folders(workspace))])


def _copy_trained(store: Store, workspace: Workspace, folder: RoundFolder) -> RoundFolder:
    """A new round with the student of another one, trained to its end and not exported yet."""
    copy = new_round(workspace, _next_number(store, workspace))
    of_export = shutil.ignore_patterns("gold", "student.onnx", "round.json", "round.log", "calibration.json")
    shutil.copytree(folder.path, copy.path, ignore=of_export, dirs_exist_ok=True)
    copy.write(folder.plan, RoundState.TRAINED)
    return copy


def _gold_entries(store: Store) -> list[ManifestEntry]:
    """The gold images under their own split: measured at the end of the training, never trained on."""
    absolute = store.workspace.absolute
    return [
        ManifestEntry(
            image.sample_id, absolute(image.path), image.sha256, absolute(image.label_path or ""), split="gold"
        )
        for image in gold_images(store)
    ]


def _fit(workspace: Workspace, folder: RoundFolder, monitor: Monitor, commands: RoundCommands) -> None:
    """Train, from the last checkpoint where there is one. A round that failed is never continued."""
    plan = folder.plan
    resume = folder.has_checkpoint
    if not resume and folder.run_dir.exists():
        shutil.rmtree(folder.run_dir)
    init_from = None if plan.init_from is None else str(workspace.absolute(plan.init_from))
    command = commands.fit(folder, plan, init_from, resume)
    monitor.progress(Progress(0, 1, f"round {folder.number}: " + ("continuing" if resume else "starting")))
    try:
        run_child(command, monitor, folder.log, folder.progress_file)
    except ChildFailedError as error:
        if error.exit_code == USER_ERROR_EXIT_CODE and not folder.has_checkpoint:
            shutil.rmtree(folder.path)  # A mistyped preset or key is no round.
        elif error.exit_code > 0:  # Killed by a signal can be continued; diverged or broken cannot.
            folder.set_state(RoundState.FAILED)
        raise
    folder.set_state(RoundState.TRAINED)


def _calibrate(store: Store, folder: RoundFolder, monitor: Monitor, commands: RoundCommands) -> None:
    """Calibrate on the gold images, or write down why they do not serve: the round goes on without a promise then."""
    folder.calibration.unlink(missing_ok=True)
    folder.not_calibrated = None
    if not gold_images(store):
        folder.not_calibrated = "there are no gold images to calibrate on"
        return
    try:
        run_child(commands.calibrate(folder, read_asked(store)), monitor, folder.log, folder.progress_file)
    except ChildFailedError as error:
        if error.exit_code != CANNOT_CALIBRATE_EXIT_CODE:
            raise
        folder.not_calibrated = str(error)


def _register(store: Store, workspace: Workspace, folder: RoundFolder, monitor: Monitor) -> None:
    """Measure the model on the gold images and write its row: the one moment in which a round becomes visible."""
    measured = evaluate_gold(store, folder.onnx, monitor.part(0.0, 0.6))
    if measured.gold is not None and folder.not_calibrated is not None:
        measured.gold["not_calibrated"] = folder.not_calibrated
    _measure_current_again(store, measured.gold, monitor.part(0.6, 1.0, "current model"))
    monitor.raise_if_cancelled()
    onnx_sha256 = sha256_of(folder.onnx)
    with store.session() as session:
        if session.scalar(select(Model.id).where(Model.round == folder.number)) is None:  # Else we died right after.
            has_current = session.scalar(select(Model.id).where(Model.status == ModelStatus.CURRENT)) is not None
            model = Model(
                round=folder.number,
                onnx_path=workspace.relative(folder.onnx),
                onnx_sha256=onnx_sha256,
                run_dir=workspace.relative(folder.run_dir),
                status=ModelStatus.CANDIDATE if has_current else ModelStatus.CURRENT,
                method=measured.method,
                gold=measured.gold,
            )
            session.add(model)
    if measured.gold is not None:
        remove_other_measurements(workspace.absolute(measured.gold["folder"]))
    folder.set_state(RoundState.REGISTERED)


def _measure_current_again(store: Store, gold: dict[str, Any] | None, monitor: Monitor) -> None:
    """Measure the current model on today's gold images when it was measured on others: only equal sets compare."""
    with store.reader() as session:
        current = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
    if gold is not None and current is not None and (current.gold or {}).get("gold_sha256") != gold["gold_sha256"]:
        measure_again(store, current, monitor)


def _model_of(store: Store, number: int) -> int:
    with store.reader() as session:
        model_id = session.scalar(select(Model.id).where(Model.round == number))
    if model_id is None:
        raise ValueError(f"round {number} says that it is registered, but the store has no model of it")
    return model_id
