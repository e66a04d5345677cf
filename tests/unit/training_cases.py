"""Small data, batches and configurations, shared by the tests of the package training."""

import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from datasets.labels import IGNORE_INDEX, Provenance
from reliability.lookup import build_method, method_names
from training.batches.drawn import DEVICE_RECIPES
from training.config import (
    DataConfig,
    HostConfig,
    OptimizerConfig,
    RunConfig,
    SelectionConfig,
    TrainConfig,
    ViewConfig,
)
from training.lookup import build_host, host_names
from training.losses import supervised_loss
from training.models import StudentOutput
from training.signals import StopFlag
from training.step import LabeledBatch, StepBatch, StepContext, StrongView, UnlabeledBatch

CLASS_NAMES = ("red", "green", "blue")
COLORS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])


def color_blocks(seed: int, size_hw: tuple[int, int] = (64, 80)) -> tuple[np.ndarray, np.ndarray]:
    """A picture of 16 px blocks whose color says the class, with noise: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, len(CLASS_NAMES), (size_hw[0] // 16, size_hw[1] // 16))
    label = np.kron(cells, np.ones((16, 16))).astype(np.uint8)
    image = COLORS[label] + rng.integers(-30, 31, (*size_hw, 3))
    return image.clip(0, 255).astype(np.uint8), label


def write_blocks(root: Path, labeled: int = 4, unlabeled: int = 4, gold: int = 2) -> Path:
    """A folder data set of color blocks; returns its root."""
    for split, count, masks in (("train", labeled + unlabeled, labeled), ("gold", gold, gold)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            image, label = color_blocks(seed=number + (100 if split == "gold" else 0))
            cv2.imwrite(str(root / "images" / split / f"p{number}.png"), image[..., ::-1])
            if number < masks:
                cv2.imwrite(str(root / "masks" / split / f"p{number}.png"), label)
    classes = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES)]
    (root / "classes.json").write_text(json.dumps({"classes": classes}), encoding="utf-8")
    return root


def tiny_config(root: Path, host: str = "csl", steps: int = 4, **host_options: object) -> TrainConfig:
    """A run on `write_blocks` data that takes about a second."""
    return TrainConfig(
        data=DataConfig(format="folder", root=str(root)),
        views=ViewConfig(crop_hw=(32, 32), scale_range=(0.8, 1.2)),
        host=HostConfig(name=host, options=dict(host_options)),
        selection=SelectionConfig(name="csl"),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3),
        run=RunConfig(
            steps=steps,
            labeled_batch=2,
            unlabeled_batch=2,
            log_every=1,
            checkpoint_every=2,
            device="cpu",
            precision="no",
        ),
    )


class StopAfter(StopFlag):
    """Asks to stop from the moment somebody has looked `times` times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    @property
    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0

    @is_set.setter
    def is_set(self, value: bool) -> None:
        pass


def accepts(host: str, method: str) -> bool:
    """Whether the host takes the selection method, both with their default options."""
    try:
        build_host(host).check_selection(method, build_method(method))
    except ValueError:
        return False
    return True


@cache
def allowed_pairs() -> tuple[tuple[str, str], ...]:
    """Every host with every selection method that it takes."""
    return tuple((host, method) for host in host_names() for method in method_names() if accepts(host, method))


def rendered_hosts() -> tuple[str, ...]:
    """Hosts whose views can be rendered on the training device."""
    return tuple(host for host in host_names() if set(build_host(host).strong_recipes) <= set(DEVICE_RECIPES))


class TinyStudent(nn.Module):
    """One convolution with the signature of a student; perturbed copies drop the red channel instead of features.

    Features are the logits themselves, the projection is the image; complementary views get 0 and 2 times their red.
    """

    def __init__(self, num_classes: int = len(CLASS_NAMES), seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv2d(3, num_classes, 3, padding=1)

    def forward(self, image: Tensor, perturb_last: int = 0, complement_last: int = 0) -> StudentOutput:
        copies = image[len(image) - perturb_last :] * torch.tensor([0.0, 1.0, 1.0]).view(3, 1, 1)
        shown = torch.cat([image, copies])
        if complement_last:
            whole, first = len(image) - complement_last, complement_last // 2
            red = torch.tensor([1.0] * whole + [0.0] * first + [2.0] * first)
            shown = torch.cat([image[:, :1] * red.view(-1, 1, 1, 1), image[:, 1:]], dim=1)
        logits = self.layer(shown)
        return StudentOutput(logits, logits, shown)


def tiny_context(student: nn.Module, selection: str = "csl", **options: object) -> StepContext:
    return StepContext(student, None, build_method(selection, **options), supervised_loss, progress=0.5)


def tiny_batch(seed: int = 0, count: int = 2, size: int = 8, recipes: int = 2) -> StepBatch:
    """Random tensors: one human-labeled and one unlabeled batch; first strong view mixed, second one masked."""
    generator = torch.Generator().manual_seed(seed)

    def image() -> Tensor:
        return torch.randn(count, 3, size, size, generator=generator)

    nowhere = torch.zeros(count, size, size, dtype=torch.bool)
    box, blocks, valid = nowhere.clone(), nowhere.clone(), ~nowhere
    box[:, 2:5, 1:6] = True
    blocks[:, :4, :4] = True
    valid[:, -2:] = False
    label = torch.randint(0, len(CLASS_NAMES), (count, size, size), generator=generator)
    views = (StrongView(image(), box, nowhere), StrongView(image(), nowhere, blocks))
    return StepBatch(
        LabeledBatch(image(), label, torch.ones(count, size, size)),
        UnlabeledBatch(
            weak_view=image(),
            strong_views=views[:recipes],
            valid=valid,
            known_label=torch.full((count, size, size), IGNORE_INDEX),
            partner=torch.arange(count).roll(1),
        ),
    )


def provenance_halves(size_hw: tuple[int, int] = (64, 80)) -> np.ndarray:
    """Upper half HUMAN, lower left PSEUDO, lower right UNREVIEWED."""
    plane = np.full(size_hw, Provenance.HUMAN, np.uint8)
    plane[size_hw[0] // 2 :, : size_hw[1] // 2] = Provenance.PSEUDO
    plane[size_hw[0] // 2 :, size_hw[1] // 2 :] = Provenance.UNREVIEWED
    return plane
