"""A small workspace with generated street scenes and made-up predictions: no model, no training, one second."""

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from app.config import Workspace
from app.domain.states import ImageRole, ModelStatus
from app.services.importing import import_dataset
from app.services.proposals import store_proposal
from app.storage.database import Store, open_store
from app.storage.location import DATABASE_URL_VARIABLE
from app.storage.models import Image, Model
from app.storage.trust_settings import TrustSettings, write_trust_settings
from datasets.labels import ClassSet
from datasets.sample import Sample
from export.session import Prediction

NAMES = ("sky", "building", "pole", "road", "sidewalk", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
SIZE_HW = (360, 480)
RELIABLE_FROM = 0.8
_PAINT = ((168, 200, 226), (120, 98, 92), (70, 70, 74), (88, 88, 94), (150, 140, 132), (70, 110, 62),
          (200, 60, 50), (140, 120, 80), (40, 70, 140), (180, 130, 110), (90, 150, 150))  # fmt: skip


@dataclass(frozen=True)
class SceneFiles:
    """Scenes as a data set: the first ones labeled, then gold, then the pool."""

    folder: Path
    labels: dict[str, NDArray[np.uint8]]
    class_set: ClassSet

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        return tuple(self.labels)

    def image_path(self, index: int) -> Path:
        return self.folder / f"{self.sample_ids[index]}.png"

    def is_labeled(self, index: int) -> bool:
        return True

    def __getitem__(self, index: int) -> Sample:
        image = np.asarray(PillowImage.open(self.image_path(index)))
        return Sample(self.sample_ids[index], image, self.labels[self.sample_ids[index]])


def draw_scene(rng: np.random.Generator, size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.uint8]:
    """(H, W) class ids of a street."""
    height, width = size_hw
    label = np.zeros(size_hw, np.uint8)
    horizon = int(height * rng.uniform(0.42, 0.52))
    for left in range(0, width, width // 5):
        top = int(height * rng.uniform(0.12, 0.34))
        cv2.rectangle(label, (left, top), (left + width // 5 + 4, horizon), int(rng.choice([1, 5])), -1)
    label[horizon:] = 4
    road = np.array([[width * 0.42, horizon], [width * 0.58, horizon], [width * 0.95, height], [width * 0.05, height]])
    cv2.fillPoly(label, [road.astype(np.int32)], 3)
    for _ in range(3):
        x, y = rng.integers(40, width - 90), horizon + rng.integers(4, 90)
        cv2.rectangle(label, (int(x), int(y)), (int(x + 60), int(y + 34)), 8, -1)
    for class_id in (2, 9, 10, 6, 7):
        x = int(rng.integers(20, width - 30))
        cv2.rectangle(label, (x, horizon - 40), (x + 9, horizon + 36), class_id, -1)
    return label


def paint_picture(label: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) picture of a label: colours, light and grain."""
    picture = np.asarray(_PAINT, np.float32)[label]
    picture *= np.linspace(1.1, 0.8, label.shape[0])[:, None, None]
    grain = cv2.GaussianBlur(rng.normal(0, 26, (*label.shape, 3)).astype(np.float32), (5, 5), 0)
    return np.clip(cv2.GaussianBlur(picture, (3, 3), 0) + grain, 0, 255).astype(np.uint8)


def predict_scene(
    label: NDArray[np.uint8], rng: np.random.Generator, blobs: int = 9, num_classes: int = len(NAMES)
) -> Prediction:
    """What a model might say: wrong and unsure inside blobs, unsure along edges, right and sure elsewhere."""
    predicted, confidence = label.copy(), np.full(label.shape, 0.97, np.float32)
    edges = cv2.dilate(
        cv2.morphologyEx(label, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.ones((3, 3), np.uint8)
    )
    confidence[edges > 0] = 0.6
    for _ in range(blobs):
        blob = np.zeros(label.shape, np.uint8)
        center = int(rng.integers(50, label.shape[1] - 50)), int(rng.integers(60, label.shape[0] - 50))
        axes = int(rng.integers(14, 36)), int(rng.integers(10, 26))
        cv2.ellipse(blob, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        inside = blob == 1
        if rng.random() < 0.6:
            predicted[inside] = rng.integers(0, num_classes)
        confidence[inside] = rng.uniform(0.35, 0.7)
    confidence = np.clip(confidence + rng.normal(0, 0.01, label.shape), 0.2, 0.99).astype(np.float32)
    rest = (1 - confidence) / (num_classes - 1)
    probabilities = np.broadcast_to(rest, (num_classes, *label.shape)).copy()
    np.put_along_axis(probabilities, predicted[None].astype(np.int64), confidence[None], axis=0)
    runner_up = (predicted.astype(np.int64) + 1) % num_classes
    share = np.take_along_axis(probabilities, runner_up[None], axis=0)
    np.put_along_axis(probabilities, runner_up[None], share * 4, axis=0)
    probabilities /= probabilities.sum(axis=0)
    return Prediction(
        label=predicted,
        confidence=confidence,
        margin=confidence - rest,
        residual_variance=np.zeros(label.shape, np.float32),
        weight=confidence,
        reliable=confidence >= RELIABLE_FROM,
        probabilities=probabilities.astype(np.float32),
    )


NO_PROBES = TrustSettings(audit_share=0, planted_share=0, control_share=0)


def build_workspace(
    root: Path, pool: int = 8, names: tuple[str, ...] = NAMES, trust: TrustSettings = NO_PROBES
) -> Workspace:
    """A workspace after its first round: labeled and gold images, a current model, proposals for `pool` images.

    On SQLite it is made once and copied, since a copied folder is a copied project.
    """
    if os.environ.get(DATABASE_URL_VARIABLE) is None:
        shutil.copytree(_template(pool, names, trust.model_dump_json()), root, dirs_exist_ok=True)
    else:
        _build(root, pool, names, trust)
    return Workspace(root / "workspace")


@cache
def _template(pool: int, names: tuple[str, ...], trust: str) -> Path:
    root = Path(tempfile.mkdtemp(prefix="pixelsieve-template-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    _build(root, pool, names, TrustSettings.model_validate_json(trust))
    return root


def _build(root: Path, pool: int, names: tuple[str, ...], trust: TrustSettings) -> None:
    rng = np.random.default_rng(7)
    folder = root / "source"
    folder.mkdir(parents=True)
    samples = [f"labeled_{i}" for i in range(2)] + ["gold_0"] + [f"street_{i:02d}" for i in range(pool)]
    scenes = {name: draw_scene(rng) for name in samples}
    for name, scene in scenes.items():
        PillowImage.fromarray(paint_picture(scene, rng)).save(folder / f"{name}.png")
    labels = {name: _spread(len(names))[scene] for name, scene in scenes.items()}
    store = open_store(Workspace(root / "workspace"), create=True)
    import_dataset(
        store, SceneFiles(folder, labels, ClassSet.from_names(names)), {"labeled_0", "labeled_1"}, {"gold_0"}
    )
    with store.session() as session:
        write_trust_settings(session, trust)
    model_id = add_model(store, 1, ModelStatus.CURRENT, miou=0.61, num_classes=len(names))
    for image_id, sample_id in pool_images(store):
        store_proposal(store, image_id, model_id, predict_scene(labels[sample_id], rng, num_classes=len(names)))
    store.close()


def _spread(num_classes: int) -> NDArray[np.uint8]:
    """Which of a workspace's classes each class of a scene becomes: some of many, or several one of few."""
    ids = np.arange(len(NAMES))
    return (ids % num_classes if num_classes < len(NAMES) else ids * (num_classes // len(NAMES))).astype(np.uint8)


def add_model(store: Store, number: int, status: ModelStatus, miou: float, num_classes: int = len(NAMES)) -> int:
    """A model's row with a gold result around `miou`."""
    ious = [min(1.0, max(0.0, miou + 0.02 * (i - 5))) for i in range(num_classes)]
    gold = {
        "miou": miou,
        "iou_per_class": ious,
        "per_image": {"gold_0": miou},
        "num_images": 1,
        "gold_sha256": "0" * 64,
        "reliable_coverage": 0.62,
        "reliable_precision": 0.97,
    }
    onnx = store.workspace.rounds / f"{number:03d}" / "student.onnx"
    onnx.parent.mkdir(parents=True)
    onnx.write_bytes(b"")
    with store.session() as session:
        model = Model(
            round=number, onnx_path=store.workspace.relative(onnx), onnx_sha256=EMPTY_SHA256, run_dir=None,
            status=status, method="csl", gold=gold, note=None,
        )  # fmt: skip
        session.add(model)
        session.flush()
        return model.id


def propose_again(workspace: Workspace) -> None:
    """A second model proposes other regions for every image of the pool."""
    store = open_store(workspace)
    rng = np.random.default_rng(11)
    model_id = add_model(store, 2, ModelStatus.CANDIDATE, miou=0.6)
    for image_id, _ in pool_images(store):
        store_proposal(store, image_id, model_id, predict_scene(draw_scene(rng), rng))
    store.close()


EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def pool_images(store: Store) -> list[tuple[int, str]]:
    """Ids and names of the images to review."""
    with store.reader() as session:
        return [(image.id, image.sample_id) for image in session.query(Image).where(Image.role == ImageRole.POOL)]
