"""A workspace after several rounds: gold images on which each of them was really measured, with made-up predictions."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services import gold as gold_module
from app.services.gold import evaluate_gold
from app.services.importing import import_dataset
from app.services.processes import Monitor
from app.services.proposals import store_proposal
from app.storage.database import Store, open_store
from app.storage.models import Model
from datasets.files import sha256_of
from datasets.images import read_image
from datasets.labels import ClassSet
from export.session import Prediction
from tests.browser.workspace import NAMES, SceneFiles, draw_scene, paint_picture, pool_images, predict_scene

GOLD = 8


@dataclass(frozen=True)
class Quality:
    """How a made-up model errs: blobs of wrong pixels per image, and a class that it does not know."""

    blobs: int
    unknown_class: int | None = None
    seed: int = 0


class ScenePredictor:
    """Knows every scene's label and spoils it; the model file is its quality, in words."""

    device = "cpu"
    metadata = SimpleNamespace(method="csl", calibration=None)
    labels: dict[str, NDArray[np.uint8]] = {}
    class_set = ClassSet.from_names(NAMES)

    def __init__(self, path: Path) -> None:
        blobs, unknown, seed = (int(word) for word in path.read_text().split())
        self._quality = Quality(blobs, None if unknown < 0 else unknown, seed)

    def predict(self, image: NDArray[np.uint8]) -> Prediction:
        """The label of this very picture, with errors."""
        key = picture_key(image)
        rng = np.random.default_rng([self._quality.seed, int(key[:8], 16)])
        prediction = predict_scene(self.labels[key], rng, self._quality.blobs)
        if self._quality.unknown_class is not None:
            unknown_mask = prediction.label == self._quality.unknown_class
            grown_mask = cv2.dilate(unknown_mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            prediction.label[grown_mask] = 3
        return prediction


def picture_key(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def build_rounds_workspace(root: Path, qualities: tuple[Quality, ...], pool: int = 2, gold: int = GOLD) -> Workspace:
    """Labeled, gold and pool images and one measured model per quality; the second last is current, the last waits."""
    rng = np.random.default_rng(3)
    folder = root / "source"
    folder.mkdir(parents=True)
    names = ["labeled_0", *(f"gold_{i}" for i in range(gold)), *(f"street_{i:02d}" for i in range(pool))]
    labels = {name: draw_scene(rng) for name in names}
    for name, label in labels.items():
        PillowImage.fromarray(paint_picture(label, rng)).save(folder / f"{name}.png")
    ScenePredictor.labels |= {picture_key(read_image(folder / f"{name}.png")): label for name, label in labels.items()}
    workspace = Workspace(root / "workspace")
    store = open_store(workspace, create=True)
    gold_ids = {name for name in names if name.startswith("gold")}
    import_dataset(store, SceneFiles(folder, labels, ClassSet.from_names(NAMES)), {"labeled_0"}, gold_ids)
    statuses = [ModelStatus.RETIRED] * max(0, len(qualities) - 2) + [ModelStatus.CURRENT, ModelStatus.CANDIDATE]
    for number, (quality, status) in enumerate(zip(qualities, statuses[-len(qualities) :], strict=True), start=1):
        model_id = add_measured_model(store, number, status, quality)
        if status is not ModelStatus.CANDIDATE:
            for image_id, sample_id in pool_images(store):
                store_proposal(store, image_id, model_id, predict_scene(labels[sample_id], rng))
    store.close()
    return workspace


def add_measured_model(store: Store, number: int, status: ModelStatus, quality: Quality) -> int:
    """A model's row with a real measurement and its kept predictions."""
    onnx = store.workspace.rounds / f"{number:03d}" / "student.onnx"
    onnx.parent.mkdir(parents=True)
    unknown = -1 if quality.unknown_class is None else quality.unknown_class
    onnx.write_text(f"{quality.blobs} {unknown} {quality.seed}")
    with patch.object(gold_module, "load_predictor", ScenePredictor):
        measured = evaluate_gold(store, onnx, Monitor())
    with store.session() as session:
        model = Model(
            round=number, onnx_path=store.workspace.relative(onnx), onnx_sha256=sha256_of(onnx), run_dir=None,
            status=status, method=measured.method, gold=measured.gold, note=None,
        )  # fmt: skip
        session.add(model)
        session.flush()
        return model.id
