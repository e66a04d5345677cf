"""CamVid as the comparison uses it: the labels of one split, the test frames in blocks, and never the val clip."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from datasets.files import write_atomically
from datasets.formats import camvid
from datasets.lookup import build_dataset
from datasets.splits import find_split, read_split, write_split
from training.records import write_json

USED_SPLITS = ("train", "test")  # val is a clip cut out of a training recording: never trained on, tuned on or reported


def half_size_copy(root: Path, work: Path, splits: Sequence[str]) -> Path:
    """CamVid with half the height and width, written once; it appears only when it is complete.

    Images are averaged over 2 x 2 pixels, labels take one of the four.

    Args:
        root: CamVid in any layout, with splits/.
        work: where `camvid_half` goes.
        splits: names of the labeled splits that come along.
    """
    target = work / "camvid_half"
    if not target.exists():
        unfinished = work / "camvid_half.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        for split in USED_SPLITS:
            _write_half(root, unfinished, split)
        write_json(unfinished / "classes.json", camvid.CLASSES.to_json())
        unfinished.rename(target)
    for name in splits:
        if not (target / "splits" / name).exists():
            write_split(target / "splits" / name, read_split(find_split(root, name)))
    return target


def _write_half(root: Path, target: Path, split: str) -> None:
    dataset = camvid.build(root, split)
    for index, sample_id in enumerate(dataset.sample_ids):
        sample = dataset[index]
        assert sample.label is not None  # all of CamVid is labeled
        size_wh = (sample.size_hw[1] // 2, sample.size_hw[0] // 2)
        image = cv2.resize(sample.image, size_wh, interpolation=cv2.INTER_AREA)
        label = cv2.resize(sample.label, size_wh, interpolation=cv2.INTER_NEAREST)
        _write_png(target / "images" / split / f"{sample_id}.png", image[..., ::-1])
        _write_png(target / "masks" / split / f"{sample_id}.png", label)


def _write_png(path: Path, plane: NDArray[Any]) -> None:
    done, encoded = cv2.imencode(".png", plane)
    assert done
    write_atomically(path, encoded.tobytes())


def check_protocol(root: Path, split: str) -> tuple[int, int]:
    """Refuse a labeled split that is not made of training frames alone.

    Returns:
        how many images it shows with and without their labels.

    Raises:
        ValueError: an id of the split is no training frame, or a training frame is a test frame too.
        FileNotFoundError: data or split missing.
    """
    train, test = (set(build_dataset("camvid", root, name).sample_ids) for name in USED_SPLITS)
    labeled_split = read_split(find_split(root, split))
    listed = {*labeled_split.labeled, *labeled_split.unlabeled}
    strangers = sorted(listed - train)
    if strangers:
        raise ValueError(
            f"split {split!r} lists {len(strangers)} images that are no training frames, for example {strangers[0]}; "
            "the comparison may only learn from CamVid's train split"
        )
    shared = sorted(train & test)
    if shared:
        raise ValueError(f"{len(shared)} frames are in train and in test, for example {shared[0]}; the data is damaged")
    return len(labeled_split.labeled), len(labeled_split.unlabeled)
