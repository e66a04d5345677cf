"""From the name of a data set format to a data set. A format is a file in formats/; there is no other list."""

import importlib
from pathlib import Path

from datasets import formats
from datasets.sample import SegmentationDataset


def dataset_names() -> tuple[str, ...]:
    """The formats that can be read, in alphabetical order."""
    folder = Path(formats.__path__[0])
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")))


def build_dataset(name: str, root: Path, split: str) -> SegmentationDataset:
    """Open one split of a data set on disk.

    Args:
        name: one of `dataset_names()`.
        root: the data set's folder (for `manifest` also the file itself).
        split: for example "train"; which splits exist is up to the format.

    Raises:
        ValueError: unknown format, or the files contradict the format.
        FileNotFoundError: no such folder or split; the message says what was found.
    """
    if name not in dataset_names():
        raise ValueError(f"unknown data set format {name!r}; choose one of {', '.join(dataset_names())}")
    root = existing_root(root)
    dataset: SegmentationDataset = importlib.import_module(f"datasets.formats.{name}").build(root, split)
    return dataset


def existing_root(root: Path) -> Path:
    """The path with the home folder in the place of ~.

    Raises:
        FileNotFoundError: it does not exist.
    """
    root = root.expanduser()
    if not root.exists():
        raise FileNotFoundError(f"no data set at {root}: the path does not exist. Check its spelling.")
    return root
