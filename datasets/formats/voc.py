"""Pascal VOC 2012 segmentation: 21 classes with background, 255 at object borders.

    JPEGImages/*.jpg  SegmentationClass/*.png  ImageSets/Segmentation/{train,val,trainval}.txt
    SegmentationClassAug/*.png                 optional: the 10,582 training masks, list trainaug.txt (or train_aug.txt)

`root` is VOC2012 itself, VOCdevkit, or the folder that holds it.

Sources: Everingham et al., IJCV 111(1), 2015; the additional masks: Hariharan et al., ICCV 2011.
"""

import functools
from pathlib import Path

from datasets.images import read_label
from datasets.labels import ClassSet
from datasets.listed import ListedDataset, SampleFiles
from datasets.paths import safe_relative_path, sample_id_of


def _palette(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """The colours of the development kit: bits of the id, dealt to the channels from the highest bit down."""
    colors = []
    for class_id in range(num_classes):
        channels = [0, 0, 0]
        for bit in range(24):
            channels[bit % 3] |= (class_id >> bit & 1) << 7 - bit // 3
        colors.append((channels[0], channels[1], channels[2]))
    return tuple(colors)


_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
CLASSES = ClassSet(_NAMES, _palette(len(_NAMES)))

_AUGMENTED_SPLITS = ("trainaug", "train_aug")
_UNLABELED_SPLITS = ("test",)


def build(root: Path, split: str) -> ListedDataset:
    """Open one list of ImageSets/Segmentation. Every list but test must have all its masks.

    Raises:
        FileNotFoundError: not a VOC folder, no such list, or a listed file is missing; names list and line.
        ValueError: a name in the list that leaves the folder, or an empty list.
    """
    base = _base_folder(root)
    lists = base / "ImageSets" / "Segmentation"
    path = safe_relative_path(lists, f"{split}.txt")
    if not path.is_file():
        found = sorted(entry.stem for entry in lists.glob("*.txt"))
        raise FileNotFoundError(f"no list '{split}.txt' in {lists}; found {', '.join(found) or 'none'}")
    mask_folder = "SegmentationClassAug" if split in _AUGMENTED_SPLITS else "SegmentationClass"
    files = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                files.append(_files(base, line.split()[0], None if split in _UNLABELED_SPLITS else mask_folder))
            except (FileNotFoundError, ValueError) as error:
                raise type(error)(f"{path}, line {number}: {error}") from error
    if not files:
        raise ValueError(f"{path} lists no image")
    return ListedDataset(CLASSES, files, functools.partial(read_label, class_set=CLASSES))


def _base_folder(root: Path) -> Path:
    for base in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (base / "JPEGImages").is_dir():
            return base
    raise FileNotFoundError(f"{root} is not a VOC folder: expected VOCdevkit/VOC2012/JPEGImages below it")


def _files(base: Path, word: str, mask_folder: str | None) -> SampleFiles:
    """A list names an id, or (in the lists of the additional masks) "/JPEGImages/<id>.jpg"."""
    name = word.removeprefix("/").removeprefix("JPEGImages/").removesuffix(".jpg")
    image = safe_relative_path(base, f"JPEGImages/{name}.jpg")
    mask = safe_relative_path(base, f"{mask_folder}/{name}.png") if mask_folder else None
    for needed in (image, mask):
        if needed is not None and not needed.is_file():
            raise FileNotFoundError(f"{needed} does not exist. Unpack it there, or remove the line.")
    return SampleFiles(sample_id_of(name), image, mask)
