"""Cityscapes as downloaded, with its 19 training classes.

    leftImg8bit/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png
    gtFine/<split>/<city>/<city>_<sequence>_<frame>_gtFine_labelIds.png        raw ids 0-33
                                               ... _gtFine_labelTrainIds.png   or ids 0-18 and 255, as scripts make them

Splits are the folders of leftImg8bit: train (2,975 images) and val (500) have fine masks. test and train_extra are
unlabeled: the masks of test that can be downloaded hold no class, and the coarse masks of train_extra are not read.
Where both masks of a frame exist, labelIds wins: it is the download, the other is derived from it.

Sample ids are "<city>/<city>_<sequence>_<frame>", so frames of one city and sequence belong together.

Sources: Cordts et al., CVPR 2016; raw ids, training ids and colors: cityscapesscripts/helpers/labels.py.
"""

from pathlib import Path

import numpy as np

from datasets.decoding import refusal
from datasets.images import read_label
from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray
from datasets.listed import ListedDataset, SampleFiles
from datasets.paths import require_inside, safe_relative_path, sample_id_of

# Training class: its raw id and its color.
_CLASSES: dict[str, tuple[int, tuple[int, int, int]]] = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
CLASSES = ClassSet(tuple(_CLASSES), tuple(color for _, color in _CLASSES.values()))

_IMAGES, _MASKS = "leftImg8bit", "gtFine"
_IMAGE_END, _RAW_END, _TRAINING_END = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"
_UNLABELED_SPLITS = ("test", "train_extra")
_NUM_RAW_IDS = 34


def build(root: Path, split: str) -> ListedDataset:
    """Open one folder of leftImg8bit.

    Raises:
        FileNotFoundError: not a Cityscapes folder, no such split, or an image without its mask; names the file.
        ValueError: a split that leaves the folder or holds no frame, or a file that is a link out of `root`.
    """
    images = root / _IMAGES
    if not images.is_dir():
        raise FileNotFoundError(f"{root} is not a Cityscapes folder: expected {_IMAGES}/ and {_MASKS}/ in it")
    folder = safe_relative_path(images, split)
    if not folder.is_dir():
        found = sorted(path.name for path in images.iterdir() if path.is_dir())
        raise FileNotFoundError(f"no split '{split}' in {images}; found {', '.join(found) or 'none'}")
    frames = sorted(folder.glob(f"*/*{_IMAGE_END}"))
    if not frames:
        raise ValueError(f"{folder} holds no <city>/*{_IMAGE_END}. Unpack the frames there.")
    is_labeled = split not in _UNLABELED_SPLITS
    return ListedDataset(CLASSES, [_files(root, path, is_labeled) for path in frames], read_mask)


def read_mask(path: Path) -> LabelArray:
    """A mask of raw ids, or of training ids by its name.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: damaged, or an id that its kind of mask does not have; names the file.
    """
    if path.name.endswith(_TRAINING_END):
        return read_label(path, CLASSES)
    raw = read_label(path, None)
    if int(raw.max()) >= _NUM_RAW_IDS:
        raise refusal(
            str(path),
            f"contains the id {raw.max()}, but raw ids end at {_NUM_RAW_IDS - 1}",
            f"If it holds training ids, name it *{_TRAINING_END}.",
        )
    training_ids = np.full(_NUM_RAW_IDS, IGNORE_INDEX, np.uint8)
    training_ids[[raw_id for raw_id, _ in _CLASSES.values()]] = np.arange(len(CLASSES))
    label: LabelArray = training_ids[raw]
    return label


def _files(root: Path, image: Path, is_labeled: bool) -> SampleFiles:
    require_inside(root, image)
    city, name = image.parent.name, image.name.removesuffix(_IMAGE_END)
    mask = _mask(root, image.parents[1].name, f"{city}/{name}") if is_labeled else None
    return SampleFiles(sample_id_of(f"{city}/{name}"), image, mask)


def _mask(root: Path, split: str, name: str) -> Path:
    candidates = [root / _MASKS / split / f"{name}{end}" for end in (_RAW_END, _TRAINING_END)]
    for path in candidates:
        if path.is_file():
            require_inside(root, path)
            return path
    raise FileNotFoundError(
        f"the frame {name} of split '{split}' has no mask {candidates[0]}. Unpack gtFine there, or remove the frame."
    )
