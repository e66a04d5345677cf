"""Labels that a run must not learn from, used for one thing only: how good its pseudo-labels are while it trains.

A labeled split hides the labels of most training images. Where they exist on disk all the same, as in every
semi-supervised benchmark, they can say how often the selected pseudo-labels are right. Nothing is learned, chosen or
stopped by it.
"""

import random
from pathlib import Path

from datasets.lookup import build_dataset
from datasets.sample import SegmentationDataset
from datasets.splits import find_split, read_split
from datasets.views import select
from training.config import DataConfig

_CHOICE_SEED = 0  # not run.seed: all seeds and methods on one split are measured on the same images


def open_pseudo_images(config: DataConfig, count: int) -> SegmentationDataset | None:
    """`count` unlabeled training images with the labels that the labeled split hides; None for a count of 0.

    Args:
        config: the run's data.
        count: how many images, chosen at random but always the same ones for one split.

    Raises:
        ValueError: no labeled split is configured, or fewer of its unlabeled images have a label on disk.
        FileNotFoundError: the data or the split is missing.
    """
    if count == 0:
        return None
    if not config.labeled_split:
        raise ValueError(
            f"evaluation.pseudo_images={count} measures pseudo-labels on images whose labels a labeled split hides, "
            "but data.labeled_split is empty; name a split, or set evaluation.pseudo_images=0"
        )
    dataset = build_dataset(config.format, Path(config.root), config.split)
    hidden = set(read_split(find_split(Path(config.root), config.labeled_split)).unlabeled)
    known = [name for index, name in enumerate(dataset.sample_ids) if name in hidden and dataset.is_labeled(index)]
    if len(known) < count:
        raise ValueError(
            f"evaluation.pseudo_images={count}, but only {len(known)} unlabeled images of split "
            f"{config.labeled_split!r} have a label on disk; use a smaller number, or 0"
        )
    return select(dataset, sorted(random.Random(_CHOICE_SEED).sample(sorted(known), count)))
