"""A run on things before a background, and a selection method that looks at boxes; shared by the detector's tests."""

import dataclasses
import json

import cv2
import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from reliability.selection import PixelSelection, SelectionMethod
from tests.unit.training_cases import tiny_config
from training.config import DetectorConfig, SelectionConfig, TrainConfig
from training.detector.model import Detector


def thing_scene(seed, size_hw=(64, 80)):
    """A gray picture with one bright 24 px square (class 1) or dark 24 px disc (class 2) inside."""
    rng = np.random.default_rng(seed)
    image = rng.integers(110, 146, (*size_hw, 3)).astype(np.uint8)
    label = np.zeros(size_hw, np.uint8)
    top, left = int(rng.integers(2, size_hw[0] - 26)), int(rng.integers(2, size_hw[1] - 26))
    if seed % 2:
        label[top : top + 24, left : left + 24] = 1
    else:
        cv2.circle(label, (left + 12, top + 12), 12, 2, -1)
    image[label == 1] = 230
    image[label == 2] = 20
    return image, label


def write_things(root, labeled=4, unlabeled=3, gold=2):
    """A folder data set of thing scenes; returns its root."""
    for split, count, masks in (("train", labeled + unlabeled, labeled), ("gold", gold, gold)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            image, label = thing_scene(seed=number + (100 if split == "gold" else 0))
            cv2.imwrite(str(root / "images" / split / f"p{number}.png"), image[..., ::-1])
            if number < masks:
                cv2.imwrite(str(root / "masks" / split / f"p{number}.png"), label)
    classes = [{"id": number, "name": name} for number, name in enumerate(("ground", "square", "disc"))]
    (root / "classes.json").write_text(json.dumps({"classes": classes}), encoding="utf-8")
    return root


def detector_config(**changes) -> DetectorConfig:
    """A detector of a few steps on tiny images that keeps every box."""
    tiny = {"min_size": 64, "max_size": 96, "steps": 3, "batch": 2, "lr": 1e-3, "min_score": 0.0}
    return DetectorConfig(**{**tiny, **changes})


def boxed_config(root, steps=2, **detector) -> TrainConfig:
    """A run of `steps` steps on `write_things` data with that detector; other keys are the detector's."""
    config = tiny_config(root, "csl", steps=steps)
    return dataclasses.replace(
        config,
        selection=SelectionConfig(name="fixed_threshold"),
        detector=detector_config(**detector),
        run=dataclasses.replace(config.run, checkpoint_every=100),  # a detector is 70 MB, its optimizer twice that
    )


def small_detector(config, class_ids):
    """Stands for `build_detector`: a Faster R-CNN with three convolutions, which learns and is written in no time."""
    channels = 16
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(8, channels, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.ReLU(),
    )  # fmt: skip
    backbone.out_channels = channels
    network = FasterRCNN(
        backbone,
        min_size=config.min_size,
        max_size=config.max_size,
        rpn_anchor_generator=AnchorGenerator(((16, 24, 32),), ((1.0,),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=5, sampling_ratio=2),
        box_head=TwoMLPHead(channels * 5 * 5, 32),
        box_predictor=FastRCNNPredictor(32, len(class_ids) + 1),
        box_score_thresh=min(0.05, config.min_score),
        box_batch_size_per_image=64,
    )
    return Detector(network, class_ids, config.min_score)


class TrustBoxes(SelectionMethod):
    """Trusts exactly the pixels inside a box of the predicted class."""

    needs = frozenset({"boxes"})

    def forward(self, inputs):
        label = inputs.probabilities.argmax(1)
        assert inputs.box_class_mask is not None
        trusted = inputs.box_class_mask.gather(1, label[:, None])[:, 0] & inputs.valid
        confidence = inputs.probabilities.amax(1)
        return PixelSelection(label, trusted.to(torch.float32), trusted, {"confidence": confidence})
