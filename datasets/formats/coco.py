"""COCO 2017 as downloaded, as 81 semantic classes: background, then the 80 categories in the order of their ids.

    train2017/*.jpg  val2017/*.jpg  unlabeled2017/*.jpg     in the folder or in images/; a split is such a folder
    annotations/instances_<split>.json                      labels are drawn from it; coco_instances.py says how
    masks/<split>/*.png or masks/*.png                      optional: class ids 0-80 and 255, named like the images

Where any mask belongs to an image of the split, masks are used and the annotations are not even read: images without
one are unlabeled, and a warning counts them. The published semi-supervised protocols come with such masks; put their
lists (lines such as "train2017/000000177254.jpg masks/000000177254.png") into root/splits/<name>/.

unlabeled2017 and test2017 have no labels. Every other split must have masks or annotations.

Source: Lin et al., Microsoft COCO, ECCV 2014; categories as in instances_val2017.json.
"""

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from datasets.coco_instances import MAX_IMAGES, AnnotatedImage, draw_label, read_instances
from datasets.decoding import DEFAULT_LIMITS, read_bytes
from datasets.images import decode_upright, read_label
from datasets.labels import ClassSet, voc_colors
from datasets.listed import ListedDataset, SampleFiles, check_same_size, refuse_repeated_ids
from datasets.paths import IMAGE_SUFFIXES, require_inside, safe_relative_path, sample_id_of
from datasets.sample import Sample, SegmentationDataset

logger = logging.getLogger(__name__)

_CATEGORY_NAMES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)
_UNUSED_CATEGORY_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_CATEGORY_IDS = [category_id for category_id in range(1, 91) if category_id not in _UNUSED_CATEGORY_IDS]
CATEGORIES = dict(zip(_CATEGORY_IDS, _CATEGORY_NAMES, strict=True))
"""COCO's category id -> name; ids have gaps, classes have none."""

CLASSES = ClassSet(("background", *_CATEGORY_NAMES), voc_colors(len(_CATEGORY_NAMES) + 1))

_UNLABELED_SPLITS = ("unlabeled2017", "test2017")
_OTHER_FOLDERS = ("annotations", "images", "masks", "splits")


class CocoDataset:
    """Images whose labels are drawn from their instances on access.

    Args:
        source: the annotation file, for messages.
        files: image files, in the order of `annotated`.
        annotated: what the annotation file says about each of them.
    """

    def __init__(self, source: Path, files: Sequence[Path], annotated: Sequence[AnnotatedImage]) -> None:
        self.class_set = CLASSES
        self._source = source
        self._files = tuple(files)
        self._annotated = tuple(annotated)
        self._ids = tuple(sample_id_of(path.name) for path in self._files)
        refuse_repeated_ids(zip(self._ids, self._files, strict=True))

    def __len__(self) -> int:
        return len(self._files)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """One id per index, unique."""
        return self._ids

    def image_path(self, index: int) -> Path:
        """The file that holds the image's bytes."""
        return self._files[index]

    def is_labeled(self, index: int) -> bool:
        """True: an image without instances is background everywhere."""
        return index < len(self._files)

    def __getitem__(self, index: int) -> Sample:
        path, annotated = self._files[index], self._annotated[index]
        image = decode_upright(read_bytes(path, DEFAULT_LIMITS), str(path))
        try:
            label = draw_label(annotated)
        except ValueError as error:
            raise ValueError(f"{self._source}: {error}. Correct it, or remove the annotation.") from error
        check_same_size(path, image, self._source / f"image {annotated.image_id}", label)
        return Sample(self._ids[index], image.pixels, label)


def build(root: Path, split: str) -> SegmentationDataset:
    """Open one folder of images.

    Raises:
        FileNotFoundError: no such folder, no labels for it, or an annotated image that is missing.
        ValueError: an annotation file that cannot be used, no image, or a file that is a link out of `root`.
    """
    folder = _image_folder(root, split)
    images = _pictures(root, folder)
    if not images:
        raise ValueError(f"{folder} holds no pictures. Unpack those of split '{split}' there.")
    masks = _masks_of(root, split, images)
    annotations = safe_relative_path(root / "annotations", f"instances_{split}.json")
    if not masks and annotations.is_file():
        return _drawn(folder, images, annotations)
    if not masks and split not in _UNLABELED_SPLITS:
        raise FileNotFoundError(
            f"split '{split}' has no labels: expected {annotations}, or PNGs named like its images in {root / 'masks'}"
        )
    files = [SampleFiles(sample_id_of(path.name), path, masks.get(path.stem)) for path in images.values()]
    return ListedDataset(CLASSES, files, functools.partial(read_label, class_set=CLASSES))


def _image_folder(root: Path, split: str) -> Path:
    places = (root, root / "images")
    for place in places:
        folder = safe_relative_path(place, split)
        if folder.is_dir() and split not in _OTHER_FOLDERS:
            return folder
    folders = {path.name for place in places if place.is_dir() for path in place.iterdir() if path.is_dir()}
    found = ", ".join(sorted(folders.difference(_OTHER_FOLDERS))) or "none"
    raise FileNotFoundError(f"no folder '{split}' with images in {root} or {root / 'images'}; found {found}")


def _pictures(root: Path, folder: Path) -> dict[str, Path]:
    """The picture files of a folder by name, sorted.

    Only links are followed to see where they lead: 120,000 files would take a minute otherwise.
    """
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if (
                Path(entry.name).suffix.lower() not in IMAGE_SUFFIXES
                or entry.name.startswith(".")
                or not entry.is_file()
            ):
                continue
            if entry.is_symlink():
                require_inside(root, folder / entry.name)
            names.append(entry.name)
    if len(names) > MAX_IMAGES:
        raise ValueError(f"{folder} holds {len(names):,} pictures, at most {MAX_IMAGES:,} are read")
    return {name: folder / name for name in sorted(names)}


def _masks_of(root: Path, split: str, images: dict[str, Path]) -> dict[str, Path]:
    """Stem of an image -> its stored mask, for those that have one."""
    places = (safe_relative_path(root / "masks", split), root / "masks")
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        return {}
    stems = {path.stem for path in images.values()}
    masks = {path.stem: path for path in _pictures(root, folder).values() if path.stem in stems}
    if 0 < len(masks) < len(stems):
        logger.warning(
            "%d of %d images of %s have no mask in %s: unlabeled",
            len(stems - masks.keys()),
            len(stems),
            *(split, folder),
        )
    return masks


def _drawn(folder: Path, images: dict[str, Path], annotations: Path) -> CocoDataset:
    annotated = read_instances(annotations, CATEGORIES)
    if not annotated:
        raise ValueError(f"{annotations} lists no image")
    missing = [image.file_name for image in annotated if image.file_name not in images]
    if missing:
        raise FileNotFoundError(
            f"{annotations} lists {len(missing)} images that are not in {folder}, for example {missing[0]}. "
            "Unpack them there."
        )
    others = len(images) - len(annotated)
    if others:
        logger.warning("%s: %d pictures are not in %s and are left out", folder, others, annotations.name)
    return CocoDataset(annotations, [images[image.file_name] for image in annotated], annotated)
