"""Which images a run trained on, and whether other images keep their distance from them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.files import sha256_of
from datasets.frames import FrameRule, near_frames
from datasets.lookup import build_dataset
from datasets.sample import SegmentationDataset
from datasets.splits import find_split, read_split
from datasets.views import with_split
from training.calibration import CannotCalibrateError
from training.checkpoint import CONFIG_NAME
from training.config import TrainConfig
from training.config_json import read_config
from training.lookup import build_host
from training.records import SUMMARY_NAME

_SHOWN = 4


@dataclass(frozen=True)
class TrainedOn:
    """Images of a run and of the runs that it started from.

    Attributes:
        paths: id -> file of the images whose pixels were trained on, labeled or not.
        listed: ids of its data sets, trained on or not.
    """

    paths: dict[str, Path]
    listed: frozenset[str]


def images_trained_on(run_dir: Path, config: TrainConfig) -> TrainedOn:
    """The images of a run, followed through `--init-from` to the first one.

    Raises:
        FileNotFoundError, ValueError: the data or a run before is not there any more, so nobody can say.
    """
    paths: dict[str, Path] = {}
    listed: set[str] = set()
    seen: set[Path] = set()
    next_dir: Path | None = run_dir
    while next_dir is not None and next_dir.resolve() not in seen:
        seen.add(next_dir.resolve())
        if next_dir != run_dir:
            if not (next_dir / CONFIG_NAME).is_file():
                raise FileNotFoundError(
                    f"{run_dir} started from {next_dir}, which is not there any more: nobody can say which images it "
                    "was trained on. Put it back to calibrate"
                )
            config = read_config(next_dir / CONFIG_NAME)
        for dataset, used in _data_of(config):
            listed.update(dataset.sample_ids)
            paths.update({dataset.sample_ids[index]: dataset.image_path(index) for index in used})
        next_dir = _started_from(next_dir)
    return TrainedOn(paths, frozenset(listed))


def _data_of(config: TrainConfig) -> list[tuple[SegmentationDataset, list[int]]]:
    """The data sets of a run, and which of their images it looked at: without labels only where the host learns so."""
    root = Path(config.data.root)
    whole = build_dataset(config.data.format, root, config.data.split)
    parts: tuple[SegmentationDataset, ...] = (whole,)
    if config.data.labeled_split:
        parts = with_split(whole, read_split(find_split(root, config.data.labeled_split)))
    uses_unlabeled = build_host(config.host.name, **config.host.options).uses_unlabeled
    used = [(part, [index for index in range(len(part)) if uses_unlabeled or part.is_labeled(index)]) for part in parts]
    return [*used, (whole, [])]


def _started_from(run_dir: Path) -> Path | None:
    path = run_dir / SUMMARY_NAME
    if not path.is_file():
        return None
    before = json.loads(path.read_text(encoding="utf-8")).get("init_from")
    return None if before is None else Path(before)


def check_held_out(
    dataset: SegmentationDataset, indices: Sequence[int], trained: TrainedOn, gap: int, rule: FrameRule
) -> None:
    """Refuse images that were trained on, and frames too near to those.

    Args:
        dataset: the images to calibrate on.
        indices: which of them.
        trained: see `images_trained_on`.
        gap: frames that must lie between.
        rule: what a frame is.

    Raises:
        CannotCalibrateError: names some of the images and says what to do.
    """
    names = [dataset.sample_ids[index] for index in indices]
    copies = _copies({name: dataset.image_path(index) for name, index in zip(names, indices, strict=True)}, trained)
    if copies:
        raise CannotCalibrateError(
            f"{len(copies)} of the {len(names)} images were trained on ({_listed(copies)}): a model is surer of them "
            "than of others. Calibrate on images that were held out before training"
        )
    if rule.independent:
        return  # ids of different data sets may be equal
    near = near_frames(names, tuple(trained.paths), gap, rule, trained.listed)
    if near:
        pairs = [f"{name} beside {other}" for name, other in sorted(near.items())]
        raise CannotCalibrateError(
            f"{len(near)} of the {len(names)} images have fewer than {gap + 1} steps to a training frame "
            f"({_listed(pairs)}): neighbors in a video are near-duplicates. Hold out whole blocks (python -m training "
            "split --hold-out), say how frames are named (--frame-pattern), or that the pictures do not come from "
            "videos (--independent)"
        )


def training_overlap(run_dir: Path, config: TrainConfig, dataset: SegmentationDataset) -> str | None:
    """A warning where images to be measured on were trained on, or nobody can say; None where none was.

    Args:
        run_dir: of the run.
        config: of the run.
        dataset: the images that are measured; those without a label do not count.
    """
    try:
        trained = images_trained_on(run_dir, config)
    except (FileNotFoundError, ValueError) as error:
        return f"nobody can say whether these images were trained on: {error}"
    measured = [index for index in range(len(dataset)) if dataset.is_labeled(index)]
    copies = _copies({dataset.sample_ids[index]: dataset.image_path(index) for index in measured}, trained)
    if not copies:
        return None
    return (
        f"{len(copies)} of the {len(measured)} images were trained on ({_listed(copies)}), so these numbers are better "
        "than those on other images. Measure on images that were held out before training (python -m training split)"
    )


def _copies(images: dict[str, Path], trained: TrainedOn) -> list[str]:
    """Names of images that were trained on, by whatever name: equal bytes are the same picture."""
    by_size: dict[int, list[Path]] = {}
    for path in trained.paths.values():
        by_size.setdefault(path.stat().st_size, []).append(path)
    found = []
    for name, path in images.items():
        candidates = by_size.get(path.stat().st_size, [])
        if any(path.resolve() == other.resolve() for other in candidates) or (
            candidates and sha256_of(path) in {sha256_of(other) for other in candidates}
        ):
            found.append(name)
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
