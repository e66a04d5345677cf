"""Pascal VOC 2012 segmentation as downloaded: 21 classes with background, 255 at object borders.

    JPEGImages/*.jpg  SegmentationClass/*.png  ImageSets/Segmentation/{train,val,trainval}.txt

`root` is VOC2012 itself, VOCdevkit, or the folder that holds it. Masks may be palette images, as in the download, or
gray.

The split trainaug (or train_aug) is the usual training set of 10,582 images. Its masks come from one of:

- SegmentationClassAug/*.png with the list trainaug.txt (or train_aug.txt)
- SBD as downloaded, in a folder benchmark_RELEASE or sbd beside VOC2012 or VOCdevkit: VOC's train and all of SBD
  without VOC's val, or the images of a list trainaug.txt if there is one. VOC's own mask wins where both have one;
  SBD's have no void at object borders.
- SegmentationClass/ that holds them too (as semi-supervised codes hand it out), with the list trainaug.txt

Lists of semi-supervised protocols, with lines such as "JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png",
are labeled splits: put labeled.txt and unlabeled.txt into root/splits/<name>/ and use the split trainaug.

Sources: Everingham et al., IJCV 111(1), 2015; the additional masks: Hariharan et al., ICCV 2011 (see sbd.py); the union
as it is counted: Chen et al., DeepLab, PAMI 40(4), 2018, section 4.1.
"""

from pathlib import Path

from datasets.images import read_label
from datasets.labels import ClassSet, LabelArray, voc_colors
from datasets.listed import ListedDataset, SampleFiles
from datasets.name_lists import listed_names
from datasets.paths import safe_relative_path, sample_id_of
from datasets.sbd_files import find_sbd, mask_path, own_lists, read_mat_label

_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
CLASSES = ClassSet(_NAMES, voc_colors(len(_NAMES)))

_AUGMENTED_SPLITS = ("trainaug", "train_aug")
_AUGMENTED_MASKS = "SegmentationClassAug"
_UNLABELED_SPLITS = ("test",)
_SBD_FOLDERS = ("benchmark_RELEASE", "sbd", "SBD")


def build(root: Path, split: str) -> ListedDataset:
    """Open one list of ImageSets/Segmentation, or trainaug. Every list but test must have all its masks.

    Raises:
        FileNotFoundError: not a VOC folder, no such list, or a listed file is missing; names list and line.
        ValueError: a name in the list that leaves the folder, or an empty list.
    """
    base = _base_folder(root)
    sbd = _sbd_beside(base) if split in _AUGMENTED_SPLITS else None
    files = []
    for word, where in _listed(base, split, sbd):
        try:
            files.append(_files(base, _name(word), split, sbd))
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from error
    return ListedDataset(CLASSES, files, read_mask)


def read_mask(path: Path) -> LabelArray:
    """A mask of VOC, or one of SBD's (.mat).

    Raises:
        FileNotFoundError: nothing there.
        ValueError: damaged, or ids that are no classes; names the file.
    """
    return read_mat_label(path, CLASSES) if path.suffix == ".mat" else read_label(path, CLASSES)


def _base_folder(root: Path) -> Path:
    for base in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (base / "JPEGImages").is_dir():
            return base
    raise FileNotFoundError(f"{root} is not a VOC folder: expected VOCdevkit/VOC2012/JPEGImages below it")


def _sbd_beside(base: Path) -> Path | None:
    """SBD beside VOC2012, or beside VOCdevkit that holds it."""
    folder = base.absolute().parent
    parents = (folder, folder.parent) if folder.name == "VOCdevkit" else (folder,)
    candidates = (find_sbd(parent / name) for parent in parents for name in _SBD_FOLDERS)
    return next((found for found in candidates if found is not None), None)


def _listed(base: Path, split: str, sbd: Path | None) -> list[tuple[str, str]]:
    """The names of a split, each with where it was listed."""
    lists = base / "ImageSets" / "Segmentation"
    for name in _AUGMENTED_SPLITS if split in _AUGMENTED_SPLITS else (split,):
        path = safe_relative_path(lists, f"{name}.txt")
        if path.is_file():
            return listed_names(path)
    if sbd is not None and not (base / _AUGMENTED_MASKS).is_dir():
        return _union(lists, sbd)
    found = sorted(entry.stem for entry in lists.glob("*.txt"))
    problem = f"no list '{split}.txt' in {lists}; found {', '.join(found) or 'none'}"
    if split in _AUGMENTED_SPLITS:
        problem += (
            f". Add the list and its masks as {base / _AUGMENTED_MASKS}, or put SBD as downloaded "
            f"(benchmark_RELEASE/dataset) into {base.parent}: then its masks are used and no list is needed"
        )
    raise FileNotFoundError(problem)


def _union(lists: Path, sbd: Path) -> list[tuple[str, str]]:
    """VOC's train, then what SBD adds to it, without VOC's val: 10,582 images."""
    paths = {path: path.is_file() for path in (lists / "train.txt", lists / "val.txt", *own_lists(sbd))}
    missing = [str(path) for path, exists in paths.items() if not exists]
    if missing:
        raise FileNotFoundError(
            f"trainaug is made of four lists, and {', '.join(missing)} is missing. Unpack it there."
        )
    train, val, *of_sbd = (listed_names(path) for path in paths)
    known = {word for word, _ in (*train, *val)}
    return train + [(word, where) for entries in of_sbd for word, where in entries if word not in known]


def _name(word: str) -> str:
    """A list names an id, or (in the lists of the additional masks) "/JPEGImages/<id>.jpg"."""
    return word.removeprefix("/").removeprefix("JPEGImages/").removesuffix(".jpg")


def _files(base: Path, name: str, split: str, sbd: Path | None) -> SampleFiles:
    image = safe_relative_path(base, f"JPEGImages/{name}.jpg")
    if not image.is_file():
        raise FileNotFoundError(f"{image} does not exist. Unpack it there, or remove the line.")
    mask = None if split in _UNLABELED_SPLITS else _mask(base, name, split, sbd)
    return SampleFiles(sample_id_of(name), image, mask)


def _mask(base: Path, name: str, split: str, sbd: Path | None) -> Path:
    is_augmented = split in _AUGMENTED_SPLITS and (base / _AUGMENTED_MASKS).is_dir()
    mask = safe_relative_path(base, f"{_AUGMENTED_MASKS if is_augmented else 'SegmentationClass'}/{name}.png")
    if mask.is_file():
        return mask
    if sbd is not None and not is_augmented:
        return mask_path(sbd, name)
    advice = "Unpack it there, or remove the line."
    if split in _AUGMENTED_SPLITS and not is_augmented:
        advice = f"There is neither {_AUGMENTED_MASKS} nor SBD (benchmark_RELEASE/dataset) beside VOC2012; add one."
    raise FileNotFoundError(f"{mask} does not exist. {advice}")
