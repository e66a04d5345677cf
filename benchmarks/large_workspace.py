"""A review workspace with large generated pictures, for measuring the reviewer: no model and no training.

python -m benchmarks.large_workspace path/to/folder [--size 4000x3000] [--images 6] [--classes 19]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.importing import import_dataset
from app.services.proposals import store_proposal
from app.storage.database import Store, open_store
from app.storage.models import Image, Model
from datasets.files import write_atomically
from datasets.labels import ClassSet
from datasets.sample import Sample
from export.session import Prediction

SIZE_WH = (4000, 3000)
IMAGES = 6
CLASSES = 19
RELIABLE_SHARE = 0.75
"""About what a model trained on few labels is sure of; regions of doubt fill the rest."""
_SHIFT_PX = 97
"""Each picture is the first one moved by this much more, so that generating takes one picture's time and memory."""


class LargePictures:
    """The pictures as an unlabeled data set, written below `folder` when it is made."""

    def __init__(self, folder: Path, picture: NDArray[np.uint8], images: int, classes: int) -> None:
        self.class_set = ClassSet.from_names([f"class {index:02d}" for index in range(classes)])
        self.sample_ids = tuple(f"large_{index:02d}" for index in range(images))
        self._folder = folder
        for index in range(images):
            moved = np.roll(picture, _SHIFT_PX * index, axis=1)
            encoded, content = cv2.imencode(".jpg", moved, [cv2.IMWRITE_JPEG_QUALITY, 90])
            assert encoded
            write_atomically(self.image_path(index), content.tobytes())

    def __len__(self) -> int:
        return len(self.sample_ids)

    def image_path(self, index: int) -> Path:
        """Where the picture lies."""
        return self._folder / f"{self.sample_ids[index]}.jpg"

    def is_labeled(self, index: int) -> bool:  # noqa: ARG002 - the interface of data sets
        """Never."""
        return False

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError("the pool is imported as files; nothing reads its pixels here")


def build(root: Path, size_wh: tuple[int, int] = SIZE_WH, images: int = IMAGES, classes: int = CLASSES) -> Workspace:
    """A workspace at root/workspace with a proposal for every picture.

    The pictures have a camera's grain, which is what makes JPEGs large, and the predictions have ragged borders like a
    network's, which is what makes planes large.
    """
    rng = np.random.default_rng(0)
    probabilities = _probabilities(rng, size_wh, classes)
    workspace = Workspace(root / "workspace")
    store = open_store(workspace, create=True)
    pictures = LargePictures(root / "source", _picture(rng, probabilities.argmax(axis=0)), images, classes)
    import_dataset(store, pictures, set(), set())
    model_id = _add_model(store)
    for index, image_id in enumerate(_image_ids(store)):
        store_proposal(store, image_id, model_id, _prediction(np.roll(probabilities, _SHIFT_PX * index, axis=2)))
    store.close()
    return workspace


def _probabilities(rng: np.random.Generator, size_wh: tuple[int, int], classes: int) -> NDArray[np.float32]:
    """(C, H, W): large soft areas whose borders are frayed."""
    probabilities = np.empty((classes, size_wh[1], size_wh[0]), np.float32)
    for plane in probabilities:
        areas = cv2.resize(rng.standard_normal((12, 16)).astype(np.float32), size_wh, interpolation=cv2.INTER_CUBIC)
        frays = cv2.resize(rng.standard_normal((size_wh[1] // 12, size_wh[0] // 12)).astype(np.float32), size_wh)
        np.exp(5 * areas + 0.5 * frays, out=plane)
    probabilities /= probabilities.sum(axis=0)
    return probabilities


def _picture(rng: np.random.Generator, label: NDArray[np.intp]) -> NDArray[np.uint8]:
    """(H, W, 3): one color per class, with grain."""
    colors = rng.integers(40, 216, (int(label.max()) + 1, 3)).astype(np.float32)
    grain = cv2.GaussianBlur(rng.normal(0, 30, label.shape).astype(np.float32), (3, 3), 0)
    picture: NDArray[np.uint8] = np.clip(colors[label] + grain[..., None], 0, 255).astype(np.uint8)
    return picture


def _prediction(probabilities: NDArray[np.float32]) -> Prediction:
    confidence = probabilities.max(axis=0)
    second = np.partition(probabilities, -2, axis=0)[-2]
    return Prediction(
        label=probabilities.argmax(axis=0).astype(np.uint8),
        confidence=confidence,
        margin=confidence - second,
        residual_variance=np.zeros_like(confidence),
        weight=confidence,
        reliable=confidence > np.quantile(confidence, 1 - RELIABLE_SHARE),
        probabilities=probabilities,
    )


def _add_model(store: Store) -> int:
    with store.session() as session:
        model = Model(round=1, onnx_path="none", onnx_sha256="none", status=ModelStatus.CURRENT)
        session.add(model)
        session.flush()
        return model.id


def _image_ids(store: Store) -> list[int]:
    with store.reader() as session:
        return [image.id for image in session.query(Image).order_by(Image.id)]


def parse_size(text: str) -> tuple[int, int]:
    """ "4000x3000" as width and height.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"a size looks like 4000x3000, got {text!r}")
    return int(width), int(height)


def main() -> None:
    """Build one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where; must not exist")
    parser.add_argument("--size", type=parse_size, default=SIZE_WH, help="of every picture (default 4000x3000)")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"how many (default {IMAGES})")
    parser.add_argument("--classes", type=int, default=CLASSES, help=f"2-254 (default {CLASSES})")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    workspace = build(arguments.folder, arguments.size, arguments.images, arguments.classes)
    print(f"pixelsieve review -w {workspace.root}")


if __name__ == "__main__":
    main()
