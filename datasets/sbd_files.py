"""Where the files of the Semantic Boundaries Dataset lie and how its masks are read; used by two formats.

`sbd` reads it alone, `voc` adds its masks to those of VOC 2012 for the split trainaug.
"""

from pathlib import Path

from datasets.decoding import ImageLimits, read_bytes, refusal
from datasets.labels import ClassSet, LabelArray
from datasets.matlab_struct import read_struct_field
from datasets.paths import safe_relative_path

_MASK_LIMITS = ImageLimits(max_bytes=2**24)  # Ours: its images have at most 500 x 500 pixels, 0.25 MB.


def find_sbd(root: Path) -> Path | None:
    """The folder with img/ and cls/: `root`, root/dataset or root/benchmark_RELEASE/dataset; None if it is nowhere."""
    for base in (root, root / "dataset", root / "benchmark_RELEASE" / "dataset"):
        if (base / "img").is_dir() and (base / "cls").is_dir():
            return base
    return None


def own_lists(base: Path) -> tuple[Path, Path]:
    """The published lists, train and val; together they name every image that has a mask."""
    return base / "train.txt", base / "val.txt"


def mask_path(base: Path, name: str) -> Path:
    """The mask of an image.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the name leaves the folder.
    """
    path = safe_relative_path(base, f"cls/{name}.mat")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Unpack it there, or remove the line.")
    return path


def read_mat_label(path: Path, class_set: ClassSet) -> LabelArray:
    """A mask of SBD: the field Segmentation of the struct GTcls. It has no void.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: too large, damaged, another file, or an id that is no class; names the file.
    """
    data = read_bytes(path, _MASK_LIMITS)
    try:
        label = read_struct_field(data, "GTcls", "Segmentation")
    except ValueError as error:
        raise refusal(str(path), f"cannot be read as a mask of SBD: {error}", "Unpack it again.") from error
    class_set.check_label(label, str(path))
    return label
