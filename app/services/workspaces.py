"""Filling a workspace from a data set on disk: who is labeled, who is gold, who waits in the pool."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from app.domain.states import ImageRole
from app.services.importing import ImportReport, Refusal, import_dataset, name_in, unusable
from app.services.label_warnings import few_gold_images, missing_classes
from app.services.snapshots import take_snapshot
from app.storage.database import Store
from app.storage.models import Image, Setting
from app.storage.settings import read_calibration_settings, read_setting, write_calibration_settings
from datasets import views
from datasets.lookup import build_dataset
from datasets.progress import Progress
from datasets.sample import SegmentationDataset
from datasets.splits import beside, find_split, hold_out_blocks, make_split, read_split

TRAINING_KEY = "training"

AUTO_PRESET = "auto"
"""The CamVid preset that fits the machine which trains: a GPU's or a CPU's."""

RETRAIN_SUFFIX = "_retrain"
"""Presets come in pairs: the first round's, and a shorter one that starts from a trained student."""


class TrainingSettings(BaseModel):
    """How this workspace trains unless a command says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = Field(AUTO_PRESET, pattern=r"^[A-Za-z0-9_]+$")


@dataclass(frozen=True)
class ImportSource:
    """A data set and what its images are for.

    Attributes:
        root: its folder.
        format: one of `dataset_names()`.
        labeled_split: name of a split under root/splits; None labels every image that has a mask.
        gold_share: share of the labeled images that is held out to measure the rounds, 0 for none. Not used when the
            data set has a split named "gold".
        seed: of the choice of gold images.
        independent: the pictures do not come from videos: gold is drawn one by one, and none is left out beside it.
    """

    root: Path
    format: str
    labeled_split: str | None = None
    gold_share: float = 0.2
    seed: int = 0
    independent: bool = False


@dataclass(frozen=True)
class ImportSummary:
    """What an import did.

    Attributes:
        reports: one per call of `import_dataset`: the training split, then the gold split if there is one.
        left_out: names of frames right beside a gold frame, labeled or not; they would make gold look better than it
            is.
        unusable: those of them that could not have been imported either.
        counts: images by role, of the whole workspace.
        preset: with which this workspace trains.
        warnings: what the labels lack, in sentences.
    """

    reports: tuple[ImportReport, ...]
    left_out: tuple[str, ...]
    unusable: tuple[Refusal, ...]
    counts: dict[ImageRole, int]
    preset: str
    warnings: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """All files with which something is wrong."""
        return (*(item for report in self.reports for item in report.refused), *self.unusable)


@dataclass(frozen=True)
class ImportPlan:
    """Which images become what. Made before anything is written, so that a wrong source leaves no workspace behind.

    Attributes:
        source: where they come from.
        dataset: training images without `left_out`.
        gold_dataset: the data set's own gold split, or None.
        labeled: sample ids whose labels train.
        held_out: sample ids that become gold.
        left_out: frames right beside a gold frame, labeled or not; they would make gold look better than it is.
        beside_gold: the data set of these frames.
    """

    source: ImportSource
    dataset: SegmentationDataset
    gold_dataset: SegmentationDataset | None
    labeled: tuple[str, ...]
    held_out: tuple[str, ...]
    left_out: tuple[str, ...]
    beside_gold: SegmentationDataset


def plan_import(source: ImportSource) -> ImportPlan:
    """Open a data set and decide what each image is for.

    Raises:
        FileNotFoundError, ValueError: the data set or its split cannot be read; says what was found.
    """
    dataset = build_dataset(source.format, source.root, "train")
    labeled = _labeled_ids(dataset, source)
    gold_dataset = _gold_split(source)
    kept = labeled
    held_out: tuple[str, ...] = ()
    if gold_dataset is None and source.gold_share > 0 and labeled:
        kept, held_out = _hold_out(labeled, source)
    left_out = () if source.independent else beside(dataset.sample_ids, set(held_out))
    if held_out and set(kept) <= set(left_out):
        raise ValueError(
            f"{len(labeled)} labeled images are too few: all that are not gold lie right beside gold, as frames of a "
            "video. If they are none, import with --independent; else label more, or import with --gold-share 0: "
            "rounds are then promoted without being measured."
        )
    wanted = [sample_id for sample_id in dataset.sample_ids if sample_id not in set(left_out)]
    kept = tuple(sample_id for sample_id in kept if sample_id not in set(left_out))
    beside_gold = views.select(dataset, left_out)
    return ImportPlan(source, views.select(dataset, wanted), gold_dataset, kept, held_out, left_out, beside_gold)


def run_import(store: Store, plan: ImportPlan, progress: Callable[[Progress], None]) -> ImportSummary:
    """Import what was planned. Safe to repeat: images that are there already stay as they are.

    A workspace that holds images already is saved as a snapshot before.
    """
    is_first = not any(count_roles(store).values())
    if not is_first:
        take_snapshot(store, "import", f"import of {plan.source.root.name}")
    _remember_frames(store, plan.source, is_first)
    reports = [import_dataset(store, plan.dataset, set(plan.labeled), set(plan.held_out), progress)]
    if plan.gold_dataset is not None:
        reports.append(import_dataset(store, plan.gold_dataset, set(), set(plan.gold_dataset.sample_ids), progress))
    near = plan.beside_gold
    names = tuple(name_in(near, index) for index in range(len(near)))
    preset = _remember_preset(store, plan.source)
    counts = count_roles(store)
    with store.reader() as session:
        warnings = missing_classes(session)
    few = few_gold_images(store) if counts[ImageRole.GOLD] else None
    warnings = warnings if few is None else (*warnings, few)
    return ImportSummary(tuple(reports), names, unusable(near), counts, preset, warnings)


def count_roles(store: Store) -> dict[ImageRole, int]:
    """Images by role."""
    with store.reader() as session:
        rows = session.execute(
            select(Image.role, func.count()).where(Image.deleted_at.is_(None)).group_by(Image.role)
        ).all()
    found = {role: count for role, count in rows}
    return {role: found.get(role, 0) for role in ImageRole}


def preset_for_training(store: Store, from_model: bool) -> str:
    """The preset of the workspace, for this machine.

    Args:
        from_model: the round starts from a trained student.

    Raises:
        StoreError: the stored setting is not valid.
    """
    preset = read_training_settings(store).preset
    if preset == AUTO_PRESET:
        preset = "camvid_gpu" if has_nvidia_device() else "camvid_cpu"
    return preset + RETRAIN_SUFFIX if from_model else preset


def read_training_settings(store: Store) -> TrainingSettings:
    """Training settings, with defaults for what was never set.

    Raises:
        StoreError: the stored value is not valid; the message names the field.
    """
    with store.reader() as session:
        return read_setting(session, TRAINING_KEY, TrainingSettings)


def has_nvidia_device() -> bool:
    """Whether a GPU's driver is there; asked without importing torch."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _labeled_ids(dataset: SegmentationDataset, source: ImportSource) -> tuple[str, ...]:
    with_label = {name for index, name in enumerate(dataset.sample_ids) if dataset.is_labeled(index)}
    if source.labeled_split is None:
        return tuple(name for name in dataset.sample_ids if name in with_label)
    split = read_split(find_split(source.root, source.labeled_split))
    labeled, _ = views.with_split(dataset, split)  # Refuses ids that are not there and labeled ids without a mask.
    return labeled.sample_ids


def _gold_split(source: ImportSource) -> SegmentationDataset | None:
    try:
        return build_dataset(source.format, source.root, "gold")
    except FileNotFoundError:
        return None


def _hold_out(labeled: Sequence[str], source: ImportSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        if source.independent:
            drawn = make_split(labeled, source.gold_share, source.seed)
            return drawn.unlabeled, drawn.labeled
        return hold_out_blocks(labeled, source.gold_share, source.seed)
    except ValueError as error:
        raise ValueError(
            f"{len(labeled)} labeled images are too few to hold out {source.gold_share:.0%} as gold ({error}). "
            "Label more, or import with --gold-share 0: rounds are then promoted without being measured."
        ) from error


def _remember_frames(store: Store, source: ImportSource, is_first: bool) -> None:
    """Pictures of a workspace are independent only if those of every import are."""
    with store.session() as session:
        asked = read_calibration_settings(session)
        independent = source.independent and (is_first or asked.independent)
        if independent != asked.independent:
            write_calibration_settings(session, asked.model_copy(update={"independent": independent}))


def _remember_preset(store: Store, source: ImportSource) -> str:
    """The first import decides; later ones and people's own settings stay."""
    preset = "demo" if source.format == "scenes" else AUTO_PRESET
    with store.session() as session:
        if session.get(Setting, TRAINING_KEY) is None:
            session.add(Setting(key=TRAINING_KEY, value=TrainingSettings(preset=preset).model_dump()))
    return preset_for_training(store, from_model=False)
