"""Generated street scenes: a folder data set (see folder.py) that is painted instead of photographed.

    images/{train,gold,test}/  masks/{train,gold,test}/  classes.json  splits/few_labels/{labeled,unlabeled}.txt

Every image has a mask, also those of unlabeled.txt: there it plays the person who corrects.
"""

import io
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from datasets.files import publish
from datasets.formats import folder
from datasets.images import encode_plane_png
from datasets.listed import ListedDataset
from datasets.scene_generator import CLASSES, generate_scene
from datasets.splits import LabeledSplit, make_split, write_split

LABELED_SPLIT = "few_labels"
"""Name of the labeled/unlabeled split that `write_scenes` makes."""

_SPLITS = ("train", "gold", "test")


@dataclass(frozen=True)
class SceneCounts:
    """Number of scenes, each at least 1; `labeled` of the `train` scenes are in labeled.txt, the others are not."""

    train: int = 48
    labeled: int = 8
    gold: int = 12
    test: int = 24

    def __post_init__(self) -> None:
        if min(self.train, self.labeled, self.gold, self.test) < 1 or self.labeled > self.train:
            raise ValueError(f"every count must be at least 1, and labeled at most train, got {self}")


def build(root: Path, split: str) -> ListedDataset:
    """Open "train", "gold" or "test".

    Raises:
        FileNotFoundError: no such split.
        ValueError: classes.json is not that of generated scenes.
    """
    dataset = folder.build(root, split)
    if dataset.class_set != CLASSES:
        raise ValueError(f"{root / 'classes.json'} is not that of generated scenes. Use the format 'folder'.")
    return dataset


def write_scenes(
    root: Path,
    counts: SceneCounts | None = None,
    size_hw: tuple[int, int] = (128, 160),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Generate a data set on disk. `root` appears only when it is complete.

    Args:
        root: must not exist yet, or be an empty folder.
        counts: None takes the defaults of `SceneCounts`.
        size_hw: of every scene, at least 64 x 64.
        seed: the same seed, counts and size give the same scenes.
        progress: called with (scenes written, all scenes).

    Raises:
        FileExistsError: `root` holds something.
        ValueError: too small a size.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} exists already; choose another folder or remove it")
    counts = counts or SceneCounts()
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        _write_pictures(unfinished, counts, size_hw, seed, progress)
        (unfinished / "classes.json").write_text(json.dumps(CLASSES.to_json(), indent=1), encoding="utf-8")
        write_split(unfinished / "splits" / LABELED_SPLIT, _labeled_split(counts, seed))
        unfinished.chmod(0o755)  # mkdtemp makes private folders
        publish(unfinished, root)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _write_pictures(
    root: Path,
    counts: SceneCounts,
    size_hw: tuple[int, int],
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    count_of = {"train": counts.train, "gold": counts.gold, "test": counts.test}
    written = 0
    for position, split in enumerate(_SPLITS):
        (root / "images" / split).mkdir(parents=True)
        (root / "masks" / split).mkdir(parents=True)
        for number in range(count_of[split]):
            image, label = generate_scene((seed, position, number), size_hw)
            name = _name(split, number)
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=92, subsampling=0)
            (root / "images" / split / f"{name}.jpg").write_bytes(buffer.getvalue())
            (root / "masks" / split / f"{name}.png").write_bytes(encode_plane_png(label))
            written += 1
            if progress is not None:
                progress(written, sum(count_of.values()))


def _labeled_split(counts: SceneCounts, seed: int) -> LabeledSplit:
    names = [_name("train", number) for number in range(counts.train)]
    return make_split(names, counts.labeled / counts.train, seed)


def _name(split: str, number: int) -> str:
    return f"{split}_{number:04d}"
