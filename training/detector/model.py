"""The object detectors of torchvision behind one interface: images and whole-pixel boxes in, losses or boxes out."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, ResNet50_Weights, WeightsEnum
from torchvision.models import detection as torchvision_detection
from torchvision.ops import FrozenBatchNorm2d

from datasets.sample import Image
from training.config import DetectorConfig
from training.detector.boxes import BoxArray, no_boxes
from training.weights import read_tensors

logger = logging.getLogger(__name__)

MEAN_COLOR = (124, 116, 104)
"""RGB that torchvision's detectors normalize to zero: what is painted over pixels that nobody decided."""

_PUBLISHED: dict[str, WeightsEnum] = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (
        torchvision_detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1
    ),
    "fasterrcnn_resnet50_fpn": torchvision_detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
    "retinanet_resnet50_fpn_v2": torchvision_detection.RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1,
}
_ENCODERS: dict[str, tuple[WeightsEnum, str]] = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (MobileNet_V3_Large_Weights.IMAGENET1K_V1, "features."),
    "fasterrcnn_resnet50_fpn": (ResNet50_Weights.IMAGENET1K_V1, ""),
    "retinanet_resnet50_fpn_v2": (ResNet50_Weights.IMAGENET1K_V1, ""),
}
"""Weights of the encoder alone, and what stands before its layers' names in them."""

_ENCODER_PREFIX = "backbone.body."
_CLASS_LAYERS = ("roi_heads.box_predictor.", "head.classification_head.cls_logits.")
_COUNTER = "num_batches_tracked"
_PROPOSALS: dict[str, dict[str, int]] = {"fasterrcnn_mobilenet_v3_large_320_fpn": {"box_batch_size_per_image": 128}}
"""Regions per image in the loss. torchvision's 512, which the published architecture keeps, make a step on a CPU
2.5 times as long as 128 do. Fast R-CNN (arXiv:1504.08083, section 2.3) takes 64."""

_FIRST_SCORE = 0.05
"""torchvision keeps boxes with a higher score than this before it removes overlapping ones; its own default."""


class Detector(nn.Module):
    """A torchvision detector of some of the data's classes.

    Attributes:
        class_ids: what it detects; its own label k + 1 stands for `class_ids[k]`, 0 for no object.
        min_score: boxes below it are not reported.
    """

    def __init__(self, network: nn.Module, class_ids: Sequence[int], min_score: float) -> None:
        super().__init__()
        self.network = network
        self.class_ids = tuple(class_ids)
        self.min_score = min_score

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def losses(self, images: Sequence[Image], boxes: Sequence[BoxArray]) -> dict[str, Tensor]:
        """torchvision's losses, means over the sampled anchors and proposals of the batch; in train mode.

        Args:
            images: each (H, W, 3) uint8.
            boxes: of each image; an image without boxes is background everywhere.
        """
        targets = [self._target(of_image) for of_image in boxes]
        losses: dict[str, Tensor] = self.network([self._input(image) for image in images], targets)
        return losses

    def _target(self, boxes: BoxArray) -> dict[str, Tensor]:
        rows = torch.from_numpy(boxes).to(self.device)
        outer = rows[:, :4] + torch.tensor([0.0, 0.0, 1.0, 1.0], device=self.device)  # pixel i reaches from i to i + 1
        known = torch.tensor(self.class_ids, device=self.device)
        return {"boxes": outer, "labels": torch.searchsorted(known, rows[:, 4].long()) + 1}

    def _input(self, image: Image) -> Tensor:
        return torch.from_numpy(image).to(self.device).permute(2, 0, 1).float() / 255

    @torch.inference_mode()
    def detect(self, image: Image) -> tuple[BoxArray, NDArray[np.float32]]:
        """Boxes of one (H, W, 3) image with their scores (B,), in eval mode.

        Corners are truncated to whole pixels and both are inside (released code); a right or lower edge on the border
        of the image is moved inside.
        """
        self.network.eval()
        found = self.network([self._input(image)])[0]
        kept = (found["scores"] >= self.min_score).cpu()
        corners, labels, scores = (found[name].cpu()[kept].float().numpy() for name in ("boxes", "labels", "scores"))
        if not len(scores):
            return no_boxes(), scores
        height, width = image.shape[:2]
        inside = np.clip(np.trunc(corners), 0, (width - 1, height - 1) * 2)
        class_id = np.array(self.class_ids)[labels.astype(np.int64) - 1]
        return np.column_stack([inside, class_id]).astype(np.float32), scores


def build_detector(config: DetectorConfig, class_ids: Sequence[int]) -> Detector:
    """A detector with random weights.

    Batch norm is frozen when `config.weights` names weights, as torchvision does: batches of a few images would spoil
    its statistics. All layers learn, while torchvision freezes the first ones then.

    Args:
        config: architecture, sizes and scores.
        class_ids: sorted.
    """
    builder: Callable[..., nn.Module] = getattr(torchvision_detection, config.architecture)
    sizes = {"min_size": config.min_size, "max_size": config.max_size}
    score = "score_thresh" if config.architecture.startswith("retinanet") else "box_score_thresh"
    network = builder(
        weights=None, weights_backbone=None, num_classes=len(class_ids) + 1,
        **{name: value for name, value in sizes.items() if value},
        **{score: min(_FIRST_SCORE, config.min_score)}, **_PROPOSALS.get(config.architecture, {}),
    )  # fmt: skip
    if config.weights != "none":
        _freeze_batch_norm(network)
    return Detector(network, class_ids, config.min_score)


def _freeze_batch_norm(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(module.num_features, module.eps)
            frozen.load_state_dict(module.state_dict())
            network.set_submodule(name, frozen)


def load_start_weights(detector: Detector, config: DetectorConfig) -> None:
    """Copy the weights that `config.weights` names; the layers that tell classes apart stay as they are.

    "imagenet" names the encoder's alone, as torchvision starts a detector that was not trained on COCO.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the weights cannot be downloaded, hold no plain tensors, or belong to another architecture.
    """
    if config.weights == "none":
        return
    wanted = detector.network.state_dict()
    if config.weights == "coco":
        tensors = _downloaded(_PUBLISHED[config.architecture], f"the COCO weights of {config.architecture}")
    elif config.weights == "imagenet":
        encoder, prefix = _ENCODERS[config.architecture]
        found = _downloaded(encoder, f"the ImageNet weights of {config.architecture}'s encoder")
        others = {key: tensor for key, tensor in wanted.items() if not key.startswith(_ENCODER_PREFIX)}
        tensors = others | {_ENCODER_PREFIX + key.removeprefix(prefix): found[key] for key in found}
    else:
        tensors = read_tensors(Path(config.weights), "detector.weights")
    fits = {key: tensors[key] for key in wanted if key in tensors and tensors[key].shape == wanted[key].shape}
    missing = [key for key in wanted if key not in fits and not key.startswith(_CLASS_LAYERS) and _COUNTER not in key]
    if missing:
        raise ValueError(
            f"detector.weights: {config.weights} does not fit {config.architecture}: {len(missing)} of {len(wanted)} "
            f"tensors are missing or of another shape (first {missing[:3]}). Are they weights of another architecture?"
        )
    detector.network.load_state_dict({**wanted, **fits})


def _downloaded(weights: WeightsEnum, name: str) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"detector.weights: {name} could not be downloaded ({error}). Download weights elsewhere and name the "
            "file, or use none"
        ) from error
    return tensors
