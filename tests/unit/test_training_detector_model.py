"""The detector itself: what it learns from, its weights, its boxes, its quality and the file of its boxes."""

import logging

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.models import WeightsEnum, mobilenet_v3_large, resnet50
from torchvision.ops import FrozenBatchNorm2d

from tests.unit.detector_cases import detector_config, thing_scene
from training.config import TrainConfig
from training.config_json import apply_changes, config_from_json, config_to_json
from training.data import TrainingSample
from training.detector.boxes import no_boxes
from training.detector.fit import detector_crop, people_label
from training.detector.model import MEAN_COLOR, Detector, build_detector, load_start_weights
from training.detector.quality import DetectorQuality
from training.detector.store import BoxStore, read_boxes

RETINANET = "retinanet_resnet50_fpn_v2"


class Fixed(nn.Module):
    """Stands for a network: always the same boxes."""

    def __init__(self, boxes, labels, scores):
        super().__init__()
        self.found = {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels), "scores": torch.tensor(scores)}
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return [self.found]


def detected(boxes, labels, scores, class_ids=(2, 5), min_score=0.95):
    network = Fixed(boxes, labels, scores)
    return Detector(network, class_ids, min_score).detect(np.zeros((20, 30, 3), np.uint8))


def test_corners_are_truncated_to_whole_pixels():
    boxes, _ = detected([[3.9, 4.2, 7.7, 9.99]], [1], [0.99])
    assert boxes.tolist() == [[3, 4, 7, 9, 2]]


def test_an_edge_on_the_border_lies_on_the_last_pixel():
    boxes, _ = detected([[0.0, 0.0, 30.0, 20.0]], [2], [0.99])
    assert boxes.tolist() == [[0, 0, 29, 19, 5]]


def test_a_score_of_95_percent_is_kept_and_less_is_not():
    _, scores = detected([[0.0, 0.0, 9.0, 9.0]] * 3, [1, 1, 2], [0.951, 0.95, 0.949])
    assert scores.tolist() == pytest.approx([0.951, 0.95])


def test_an_image_without_objects_has_no_boxes():
    boxes, scores = detected([[0.0, 0.0, 9.0, 9.0]], [1], [0.5])
    assert boxes.shape == (0, 5) and scores.shape == (0,)


def test_boxes_reach_to_the_outer_edge_of_their_last_pixel_and_labels_count_from_one():
    target = Detector(Fixed([[0.0]], [1], [1.0]), (2, 5), 0.5)._target(np.array([[3, 4, 7, 9, 5]], np.float32))
    assert target["boxes"].tolist() == [[3, 4, 8, 10]] and target["labels"].tolist() == [2]


@pytest.mark.parametrize("architecture", ["fasterrcnn_mobilenet_v3_large_320_fpn", RETINANET])
def test_an_architecture_learns_from_images_with_and_without_boxes(architecture):
    detector = build_detector(detector_config(architecture=architecture), (1, 2)).train()
    image, _ = thing_scene(1)
    losses = detector.losses([image, image], [np.array([[10, 10, 33, 33, 2]], np.float32), no_boxes()])
    assert all(torch.isfinite(value) and value.requires_grad for value in losses.values())


def saved_weights(path, num_classes, architecture="fasterrcnn_mobilenet_v3_large_320_fpn"):
    torch.manual_seed(5)
    network = build_detector(detector_config(architecture=architecture), range(num_classes)).network
    safetensors.torch.save_file(network.state_dict(), path)
    return network.state_dict()


def test_weights_of_other_classes_give_everything_but_the_class_layers(tmp_path):
    stored = saved_weights(tmp_path / "weights.safetensors", num_classes=7)
    config = detector_config(weights=str(tmp_path / "weights.safetensors"))
    detector = build_detector(config, (1, 2))
    load_start_weights(detector, config)
    loaded = detector.network.state_dict()
    differing = {name for name in loaded if loaded[name].shape != stored[name].shape}
    assert all(name.startswith("roi_heads.box_predictor.") for name in differing) and differing
    assert all(torch.equal(loaded[name], stored[name]) for name in loaded.keys() - differing)


@pytest.mark.parametrize(
    ("architecture", "encoder", "prefix"),
    [
        ("fasterrcnn_mobilenet_v3_large_320_fpn", mobilenet_v3_large, "features."),
        ("fasterrcnn_resnet50_fpn", resnet50, ""),
    ],
)
def test_imagenet_weights_go_into_the_encoder_alone(monkeypatch, architecture, encoder, prefix):
    torch.manual_seed(6)
    published = encoder(weights=None).state_dict()
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda weights, *args, **kwargs: published)
    config = detector_config(architecture=architecture, weights="imagenet")
    detector = build_detector(config, (1, 2))
    before = {name: tensor.clone() for name, tensor in detector.network.state_dict().items()}
    load_start_weights(detector, config)
    for name, tensor in detector.network.state_dict().items():
        inside = name.removeprefix("backbone.body.")
        assert torch.equal(tensor, before[name] if inside == name else published[prefix + inside]), name


def test_detector_weights_that_cannot_be_downloaded_say_what_to_do(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no connection")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    config = detector_config(weights="imagenet")
    with pytest.raises(ValueError, match=r"ImageNet weights .* \(no connection\)\. Download weights elsewhere"):
        load_start_weights(build_detector(config, (1, 2)), config)


def test_batch_norm_is_frozen_under_loaded_weights_only():
    kinds = [
        {type(layer) for layer in build_detector(detector_config(weights=weights), (1,)).modules()}
        for weights in ("none", "coco")
    ]
    assert FrozenBatchNorm2d not in kinds[0] and nn.BatchNorm2d in kinds[0]
    assert FrozenBatchNorm2d in kinds[1] and nn.BatchNorm2d not in kinds[1]


def test_weights_of_another_architecture_are_refused(tmp_path):
    saved_weights(tmp_path / "weights.safetensors", num_classes=2)
    config = detector_config(architecture=RETINANET, weights=str(tmp_path / "weights.safetensors"))
    with pytest.raises(ValueError, match=rf"does not fit {RETINANET}: \d+ of \d+ tensors are missing"):
        load_start_weights(build_detector(config, (1, 2)), config)


def test_a_pickled_object_is_not_opened(tmp_path):
    torch.save({"model": detector_config()}, tmp_path / "weights.pth")
    config = detector_config(weights=str(tmp_path / "weights.pth"))
    with pytest.raises(ValueError, match=r"detector\.weights: .*pickled objects can run code"):
        load_start_weights(build_detector(config, (1, 2)), config)


def test_a_missing_weight_file_is_named(tmp_path):
    config = detector_config(weights=str(tmp_path / "nowhere.pth"))
    with pytest.raises(FileNotFoundError, match=r"detector\.weights: no file .*nowhere\.pth"):
        load_start_weights(build_detector(config, (1, 2)), config)


def half_known_sample():
    image, label = thing_scene(1)
    known = np.zeros(label.shape, bool)
    known[:, :40] = True
    return TrainingSample("a", image, label, (label < 3).astype(np.float32), known)


def test_a_detector_learns_from_people_only():
    sample = half_known_sample()
    label = people_label(sample)
    assert (label[:, 40:] == 255).all() and np.array_equal(label[:, :40], sample.label[:, :40])


def test_pixels_that_nobody_decided_are_painted_over():
    config = detector_config(scale_range=(1.0, 1.0))
    for seed in range(4):
        image, _ = detector_crop(np.random.default_rng(seed), half_known_sample(), no_boxes(), config)
        painted = (image == np.array(MEAN_COLOR)).all(axis=2)
        assert painted.sum() == 64 * 40


def test_boxes_that_a_crop_cuts_to_a_sliver_are_dropped():
    image, label = thing_scene(1)
    edge = np.array([[0, 0, 9, 63, 1], [30, 0, 39, 63, 1]], np.float32)
    config = detector_config(scale_range=(1.5, 1.5), min_box_px=8)
    for seed in range(8):
        _, boxes = detector_crop(np.random.default_rng(seed), TrainingSample("a", image, label), edge, config)
        sides = boxes[:, 2:4] - boxes[:, :2] + 1
        assert (sides >= 8).all()


def test_a_crop_keeps_the_size_of_its_image():
    image, label = thing_scene(1, (40, 52))
    crop, _ = detector_crop(np.random.default_rng(0), TrainingSample("a", image, label), no_boxes(), detector_config())
    assert crop.shape == (40, 52, 3)


def square_label():
    """Class 1 in the pixels 10..19 of both axes, class 0 elsewhere."""
    label = np.zeros((30, 40), np.uint8)
    label[10:20, 10:20] = 1
    return label


def quality_of(*boxes):
    quality = DetectorQuality(("ground", "square", "disc"), (1, 2), min_box_px=4)
    quality.add(np.array(boxes, np.float32).reshape(-1, 5), square_label())
    return quality.summary()


def test_an_exact_box_is_right_by_every_measure():
    summary = quality_of((10, 10, 19, 19, 1))
    assert (summary["precision"], summary["matched"], summary["coverage"]) == (1.0, 1.0, 1.0)


def test_a_box_beside_the_object_is_wrong_by_every_measure():
    summary = quality_of((25, 10, 34, 19, 1))
    assert (summary["precision"], summary["matched"], summary["coverage"]) == (0.0, 0.0, 0.0)


def test_a_box_over_half_of_the_object_covers_half_of_its_pixels():
    summary = quality_of((10, 10, 14, 19, 1))
    assert (summary["precision"], summary["matched"], summary["coverage"]) == (1.0, 1.0, 0.5)


def test_a_box_of_another_class_is_not_matched():
    summary = quality_of((10, 10, 19, 19, 2))
    assert (summary["precision"], summary["matched"], summary["coverage"]) == (0.0, 0.0, 0.0)
    assert summary["per_class"]["disc"] == {"boxes": 1, "precision": 0.0, "matched": 0.0, "coverage": None}


def test_without_boxes_there_is_no_precision():
    summary = quality_of()
    assert summary["precision"] is None and summary["matched"] is None and summary["coverage"] == 0.0


def test_void_under_a_box_is_not_counted():
    quality = DetectorQuality(("ground", "square"), (1,), min_box_px=4)
    label = np.full((30, 40), 255, np.uint8)
    label[10:13, 10:13] = 1
    quality.add(np.array([[10, 10, 19, 19, 1]], np.float32), label)
    assert quality.summary()["precision"] == 1.0


def found(name):
    return np.array([[1, 2, 3, 4, 1]], np.float32), np.array([0.97], np.float32)


def quiet(done, total):
    pass


def test_stored_boxes_are_read_back(tmp_path):
    BoxStore(tmp_path / "boxes.json", {"seed": 0}).complete(["a"], found, quiet)
    assert read_boxes(tmp_path / "boxes.json")["a"].tolist() == [[1, 2, 3, 4, 1]]


def test_an_image_without_boxes_is_stored_as_such(tmp_path):
    BoxStore(tmp_path / "boxes.json", {}).complete(["a"], lambda name: (no_boxes(), np.empty(0, np.float32)), quiet)
    assert read_boxes(tmp_path / "boxes.json")["a"].shape == (0, 5)


def test_a_set_without_images_is_a_file_all_the_same(tmp_path):
    BoxStore(tmp_path / "boxes.json", {}).complete([], found, quiet)
    assert read_boxes(tmp_path / "boxes.json") == {}


def test_only_missing_images_are_detected(tmp_path):
    BoxStore(tmp_path / "boxes.json", {"seed": 0}).complete(["a"], found, quiet)
    asked = []
    BoxStore(tmp_path / "boxes.json", {"seed": 0}).complete(
        ["a", "b"], lambda name: asked.append(name) or found(name), quiet
    )
    assert asked == ["b"]


def test_boxes_of_another_detector_are_named_and_not_used(tmp_path, caplog):
    BoxStore(tmp_path / "boxes.json", {"seed": 0}).complete(["a"], found, quiet)
    with caplog.at_level(logging.WARNING):
        assert not BoxStore(tmp_path / "boxes.json", {"seed": 1}).holds(["a"])
    assert "boxes.json is of another run (['seed'] differ)" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{", id="cut"),
        pytest.param('{"format": 9, "made_with": {}, "images": {}}', id="newer"),
        pytest.param('{"format": 1, "made_with": {}}', id="no-images"),
        pytest.param('{"format": 1, "made_with": {}, "images": {"a": [[1, 2, 3]]}}', id="short-row"),
        pytest.param('{"format": 1, "made_with": {}, "images": {"a": [[5, 2, 3, 4, 1, 0.9]]}}', id="right-before-left"),
        pytest.param('{"format": 1, "made_with": {}, "images": {"a": [["1", 2, 3, 4, 1, 0.9]]}}', id="text"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(ValueError, match=r"boxes\.json is damaged: "):
        read_boxes(tmp_path / "boxes.json")


def test_the_detector_survives_config_json():
    config = apply_changes(TrainConfig(), ["detector.classes=car,sign", "detector.scale_range=0.5,2"])
    assert config_from_json(config_to_json(config), "test") == config
    assert config.detector.classes == "car,sign" and config.detector.scale_range == (0.5, 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param("detector.architecture=yolo", "detector.architecture: expected one of fasterrcnn_m", id="name"),
        pytest.param("detector.scale_range=2,1", "detector.scale_range: the first value must not exceed", id="order"),
        pytest.param("detector.min_score=1.5", "detector.min_score: must be at least 0 and at most 1", id="score"),
    ],
)
def test_a_wrong_detector_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        apply_changes(TrainConfig(), [change])


def test_the_longer_side_must_not_be_below_the_shorter_one():
    with pytest.raises(ValueError, match=r"detector\.max_size: must not be below detector.min_size 64, got 32"):
        detector_config(min_size=64, max_size=32)
