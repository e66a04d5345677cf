"""The published protocols, number by number as the released configurations have them."""

from pathlib import Path

import numpy as np
import pytest

from datasets.formats.cityscapes import CLASSES
from training.config_json import read_config, write_config
from training.detector.boxes import named_classes
from training.lookup import build_host
from training.presets import build_preset
from training.protocols import PROTOCOLS, VOC_CLASS_PRIOR
from training.session import build_recipe

RELEASED = {  # crop, lr, head factor, weight decay, epochs, batch, OHEM's least pixels (0: cross entropy)
    "voc_unimatch_321": (321, 0.001, 10, 1e-4, 80, 8, 0),
    "voc_unimatch_513": (513, 0.001, 10, 1e-4, 80, 8, 0),
    "voc_csl_321": (321, 0.001, 10, 1e-4, 80, 8, 0),
    "voc_s4mc_513": (513, 0.001, 10, 1e-4, 80, 16, 0),
    "voc_augseg_513": (513, 0.001, 10, 1e-4, 80, 16, 0),
    "voc_u2pl_513": (513, 0.001, 10, 1e-4, 80, 16, 0),
    "voc_ael_513": (513, 0.01, 10, 1e-4, 80, 8, 100_000),
    "voc_unimatch_v2_518": (518, 5e-6, 40, 0.01, 60, 16, 0),
    "cityscapes_unimatch_801": (801, 0.005, 1, 1e-4, 240, 8, 200_000),
    "cityscapes_csl_801": (801, 0.005, 1, 1e-4, 240, 8, 200_000),
    "cityscapes_howlader_801": (801, 0.005, 1, 1e-4, 240, 4, 200_000),
    "cityscapes_augseg_800": (800, 0.01, 1, 5e-4, 240, 16, 100_000),
    "cityscapes_u2pl_769": (769, 0.01, 1, 5e-4, 200, 16, 100_000),
    "cityscapes_ael_769": (769, 0.01, 1, 1e-4, 200, 8, 100_000),
    "cityscapes_unimatch_v2_798": (798, 5e-6, 40, 0.01, 180, 8, 200_000),
    "coco_unimatch_513": (513, 0.004, 10, 1e-4, 30, 8, 0),
    "coco_unimatch_v2_518": (518, 5e-6, 40, 0.01, 20, 16, 0),
}
ENCODERS = {  # output stride, multi-grid; the others have DINOv2
    **{name: (16, False) for name in RELEASED if "_unimatch_" in name and "_v2_" not in name},
    **{name: (8, False) for name in RELEASED if "_csl_" in name},
    **{name: (8, True) for name in RELEASED if any(f"_{host}_" in name for host in ("u2pl", "ael", "s4mc"))},
    **{name: (16, True) for name in RELEASED if "_augseg_" in name},
    "cityscapes_howlader_801": (16, False),
}
THRESHOLDS = {  # below these confidences no pseudo-label teaches
    **{name: 0.95 for name in RELEASED if "_unimatch_" in name},
    **{"cityscapes_unimatch_801": 0.0, "cityscapes_howlader_801": 0.0, "cityscapes_augseg_800": 0.0},
    **{"voc_augseg_513": 0.95, "voc_ael_513": 0.7, "cityscapes_ael_769": 0.0},
}
DECAYS = {  # of averaged teachers
    **{name: 0.996 for name in RELEASED if "_unimatch_v2_" in name},
    **{name: 0.99 for name in RELEASED if any(f"_{host}_" in name for host in ("u2pl", "ael", "s4mc"))},
    **{"voc_augseg_513": 0.999, "cityscapes_augseg_800": 0.996},
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_has_the_released_numbers(name):
    config = PROTOCOLS[name]()
    optimizer, run, loss = config.optimizer, config.run, config.loss
    batch = {run.labeled_batch, run.unlabeled_batch}
    found = (optimizer.lr, optimizer.head_lr_factor, optimizer.weight_decay, run.epochs)
    crop, *numbers, size, least = RELEASED[name]
    assert config.views.crop_hw == (crop, crop) and list(found) == pytest.approx(numbers)
    assert batch == {size} and loss.ohem_min_kept * loss.ohem == least


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_has_the_released_encoder(name):
    model = PROTOCOLS[name]().model
    options = (model.options.get("output_stride"), model.options.get("multi_grid", False))
    expected = ("dpt_dinov2_small", None, False) if "_v2_" in name else ("deeplabv3plus_resnet101", *ENCODERS[name])
    assert (model.backbone, *options) == expected


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_has_the_released_threshold_and_teacher(name):
    config = PROTOCOLS[name]()
    host = build_host(config.host.name, **config.host.options)
    assert config.selection.options.get("threshold") == THRESHOLDS.get(name)
    assert host.ema_decay == DECAYS.get(name)


@pytest.mark.parametrize(("name", "contrast_weight"), [("voc_s4mc_513", 0.0), ("voc_u2pl_513", 0.1)])
def test_s4mc_takes_u2pls_step_without_its_contrast(name, contrast_weight):
    config = PROTOCOLS[name]()
    assert build_host(config.host.name, **config.host.options).contrast_weight == contrast_weight


def test_howladers_detector_learns_classes_of_cityscapes():
    class_ids = named_classes(PROTOCOLS["cityscapes_howlader_801"]().detector.classes, CLASSES)
    assert class_ids == (3, 4, 6, 7, 11, 12, 13, 14, 15, 16, 17, 18)  # released: 12 classes


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_fits_together_and_survives_json(name, tmp_path):
    config = build_preset(name)
    build_recipe(config)
    write_config(tmp_path / "config.json", config)
    assert read_config(tmp_path / "config.json") == config and config.data.labeled_split


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name.startswith("cityscapes")])
def test_cityscapes_is_measured_in_windows_unless_features_are_compared(name):
    expected = "whole" if name == "cityscapes_howlader_801" else "sliding"
    assert PROTOCOLS[name]().evaluation.window == expected


def test_the_prior_of_pascal_voc_is_the_released_one():
    vectors = Path(__file__).resolve().parents[1] / "paper" / "vectors" / "s4mc_margin_n4_k1_c21.npz"
    with np.load(vectors, allow_pickle=False) as data:
        np.testing.assert_allclose(VOC_CLASS_PRIOR, data["class_prior"], rtol=0, atol=1e-6)
