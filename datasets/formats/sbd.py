"""Semantic Boundaries Dataset (SBD) as downloaded: masks of the 21 VOC classes for 11,355 images of VOC 2011.

    benchmark_RELEASE/dataset/    img/*.jpg  cls/*.mat  train.txt  val.txt

`root` is benchmark_RELEASE, the folder that holds it, or its folder dataset/. Splits are the lists there: train (8,498
images), val (2,857), and whatever list you add; "trainval" is both.

Its lists are not those of VOC: images of VOC's val are in SBD's train. To train on SBD and measure on VOC's val, use
the format `voc` with the split trainaug, which leaves them out. SBD's masks have no void at object borders.

Source: Hariharan, Arbelaez, Bourdev, Maji, Malik, Semantic Contours from Inverse Detectors, ICCV 2011.
"""

import functools
from pathlib import Path

from datasets.formats.voc import CLASSES
from datasets.listed import ListedDataset, SampleFiles
from datasets.name_lists import listed_names
from datasets.paths import safe_relative_path, sample_id_of
from datasets.sbd_files import find_sbd, mask_path, own_lists, read_mat_label

__all__ = ["CLASSES", "build"]

_BOTH = "trainval"


def build(root: Path, split: str) -> ListedDataset:
    """Open one list, or both published ones.

    Raises:
        FileNotFoundError: not an SBD folder, no such list, or a listed file is missing; names list and line.
        ValueError: a name in the list that leaves the folder, or an empty list.
    """
    base = find_sbd(root)
    if base is None:
        raise FileNotFoundError(f"{root} is not an SBD folder: expected benchmark_RELEASE/dataset with img/ and cls/")
    files = []
    for path in _lists(base, split):
        for name, where in listed_names(path):
            try:
                files.append(_files(base, name))
            except (FileNotFoundError, ValueError) as error:
                raise type(error)(f"{where}: {error}") from error
    return ListedDataset(CLASSES, files, functools.partial(read_mat_label, class_set=CLASSES))


def _lists(base: Path, split: str) -> list[Path]:
    path = safe_relative_path(base, f"{split}.txt")
    if path.is_file():
        return [path]
    found = {entry.stem for entry in base.glob("*.txt")}
    if all(own.is_file() for own in own_lists(base)):
        if split == _BOTH:
            return list(own_lists(base))
        found.add(_BOTH)
    raise FileNotFoundError(f"no list '{split}.txt' in {base}; found {', '.join(sorted(found)) or 'none'}")


def _files(base: Path, name: str) -> SampleFiles:
    image = safe_relative_path(base, f"img/{name}.jpg")
    if not image.is_file():
        raise FileNotFoundError(f"{image} does not exist. Unpack it there, or remove the line.")
    return SampleFiles(sample_id_of(name), image, mask_path(base, name))
