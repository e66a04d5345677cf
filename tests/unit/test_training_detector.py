"""A run whose selection method needs boxes: the detector before it, its files, stopping, resuming, refusing."""

import dataclasses
import json
import logging
import shutil

import numpy as np
import pytest
import torch

from datasets.lookup import build_dataset
from datasets.sample import Sample
from reliability import lookup
from tests.unit.detector_cases import (
    TrustBoxes,
    boxed_config,
    detector_config,
    small_detector,
    thing_scene,
    write_things,
)
from tests.unit.training_cases import StopAfter
from training import session as session_module
from training.config_json import apply_changes
from training.data import open_held_out, open_training_data
from training.detector import fit as detector_training
from training.detector import provide as detector_module
from training.detector.model import build_detector
from training.detector.provide import detector_of_run, provide_boxes
from training.detector.watch import Watch
from training.evaluate import EvaluationExtras
from training.loop import FitOptions, fit
from training.session import build_recipe, build_session
from training.signals import StopFlag, StopRequestedError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_things(tmp_path_factory.mktemp("things"))


def simplify(patch):
    """Every run's selection method is TrustBoxes and its detector is a small one, whatever their names."""
    patch.setattr(session_module, "build_method", lambda name, **options: TrustBoxes())
    patch.setattr(detector_training, "build_detector", small_detector)


@pytest.fixture(autouse=True)
def simple(monkeypatch):
    simplify(monkeypatch)


def train(config, run_dir, stop=None, **options):
    return fit(config, FitOptions(run_dir, quiet=True, **options), stop)


def make_boxes(config, run_dir, stop=None):
    """What a run does before its first step."""
    data = open_training_data(config.data)
    session = build_session(config, build_recipe(config), data, open_held_out(config.data, "auto"))
    provide_boxes(session, run_dir, Watch(lambda what, done, total: None, stop or StopFlag()))


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """A finished run folder, to be read only."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        simplify(patch)
        train(boxed_config(root), run_dir)
    return run_dir


def boxes_file(run_dir, name="boxes.json"):
    return json.loads((run_dir / "detector" / name).read_text())


def summary_file(run_dir):
    return json.loads((run_dir / "detector" / "summary.json").read_text())


def counted_steps(monkeypatch):
    """Optimizer steps of detectors from now on."""
    steps = []
    original = detector_module.train_detector

    def counting(job, data, watch):
        def show(what, done, total):
            steps.append(done)
            watch.show(what, done, total)

        return original(job, data, Watch(show, watch.stop))

    monkeypatch.setattr(detector_module, "train_detector", counting)
    return steps


def test_every_unlabeled_image_has_its_boxes_on_disk(finished):
    assert sorted(boxes_file(finished)["images"]) == ["p4", "p5", "p6"]


def test_stored_boxes_are_whole_pixels_inside_the_image(finished):
    rows = np.array([row for rows in boxes_file(finished)["images"].values() for row in rows])
    left, top, right, bottom, class_id, score = rows.T
    assert np.array_equal(rows[:, :5], rows[:, :5].round()) and set(class_id) <= {1, 2}
    assert (left >= 0).all() and (top >= 0).all() and (right <= 79).all() and (bottom <= 63).all()
    assert (score >= 0).all() and (score <= 1).all()


def test_held_out_images_are_judged_with_their_own_boxes(finished):
    assert sorted(boxes_file(finished, "held_out_boxes.json")["images"]) == ["p0", "p1"]


def test_the_evaluation_of_a_run_uses_boxes(root, finished):
    final = json.loads((finished / "summary.json").read_text())["final"]
    assert final["selection"]["coverage"] is not None and final["images"] == 2


def judged_with_boxes(method):
    """The box mask that `method` gets for an image with one box of class 2 in its upper left corner."""
    image, label = thing_scene(0)
    extras = EvaluationExtras(boxes_for=lambda sample: torch.tensor([[[0.0, 0.0, 3.0, 1.0, 2.0]]]))
    return extras.box_class_mask(method, Sample("a", image, label), torch.zeros(1, 3, 64, 80))


def test_a_method_that_needs_boxes_is_measured_with_them():
    mask = judged_with_boxes(TrustBoxes())
    assert mask.shape == (1, 3, 64, 80) and mask[0, 2, :2, :4].all() and mask.sum() == 8


def test_other_methods_are_measured_without_boxes():
    assert judged_with_boxes(lookup.build_method("fixed_threshold")) is None


def test_the_summary_says_what_was_learned_and_what_it_is_worth(finished):
    summary = summary_file(finished)
    assert summary["labeled_boxes"] == {"square": 2, "disc": 2} and summary["classes_without_boxes"] == {"ground": 0}
    assert summary["held_out"]["split"] == "gold" and set(summary["held_out"]["per_class"]) == {"square", "disc"}


def test_a_finished_run_does_not_train_its_detector_again(root, finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "run")
    steps = counted_steps(monkeypatch)
    train(boxed_config(root), tmp_path / "run", resume=True)
    assert steps == []


def test_a_stopped_detector_continues_after_its_last_step(root, tmp_path, monkeypatch):
    with pytest.raises(StopRequestedError, match="after step 2/3 of the detector; continue with --resume"):
        make_boxes(boxed_config(root), tmp_path, StopAfter(1))
    steps = counted_steps(monkeypatch)
    make_boxes(boxed_config(root), tmp_path)
    assert steps == [3]


def test_a_stopped_detector_finds_the_same_boxes_as_one_that_was_not(root, finished, tmp_path):
    with pytest.raises(StopRequestedError):
        make_boxes(boxed_config(root), tmp_path, StopAfter(1))
    make_boxes(boxed_config(root), tmp_path)
    assert boxes_file(tmp_path) == boxes_file(finished)


def test_boxes_that_were_found_before_a_stop_are_kept(root, finished, tmp_path):
    with pytest.raises(StopRequestedError, match="stopped while detecting objects; continue with --resume"):
        make_boxes(boxed_config(root), tmp_path, StopAfter(4))
    kept = boxes_file(tmp_path)["images"]
    assert len(kept) == 2 and kept.items() <= boxes_file(finished)["images"].items()


def test_a_damaged_box_file_is_named_and_made_again(root, tmp_path, caplog, monkeypatch):
    make_boxes(boxed_config(root), tmp_path)
    before = boxes_file(tmp_path)
    (tmp_path / "detector" / "boxes.json").write_text('{"format": 1, "made_with"')
    steps = counted_steps(monkeypatch)
    with caplog.at_level(logging.WARNING):
        make_boxes(boxed_config(root), tmp_path)
    assert "boxes.json is damaged" in caplog.text and boxes_file(tmp_path) == before and steps == []


def test_a_detector_of_another_configuration_is_not_used(root, tmp_path, caplog, monkeypatch):
    with pytest.raises(StopRequestedError):
        make_boxes(boxed_config(root), tmp_path, StopAfter(1))
    steps = counted_steps(monkeypatch)
    with caplog.at_level(logging.WARNING):
        make_boxes(boxed_config(root, lr=2e-3), tmp_path)
    assert "of another run (['detector'] differ)" in caplog.text and steps == [1, 2, 3]


def test_damaged_detector_weights_are_refused(root, tmp_path):
    with pytest.raises(StopRequestedError):
        make_boxes(boxed_config(root), tmp_path, StopAfter(1))
    weights = next((tmp_path / "detector" / "checkpoint").glob("detector-*"))
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"is damaged.*Or remove .*detector to train the detector again"):
        make_boxes(boxed_config(root), tmp_path)


def test_labels_without_boxes_are_refused(root, tmp_path):
    with pytest.raises(ValueError, match="give no box of 60 pixels or more.*detector.classes.*detector.min_box_px"):
        make_boxes(boxed_config(root, min_box_px=60), tmp_path)


def test_users_decide_which_classes_have_boxes(root, tmp_path):
    make_boxes(boxed_config(root, classes="disc"), tmp_path)
    assert summary_file(tmp_path)["labeled_boxes"] == {"disc": 2}


def test_a_detector_that_finds_nothing_is_a_warning(root, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        make_boxes(boxed_config(root, min_score=1.0), tmp_path)
    assert "on any of 3 unlabeled images (0 % have boxes)" in caplog.text
    assert summary_file(tmp_path)["share_with_boxes"] == 0


@pytest.mark.slow
def test_the_default_architecture_serves_a_run(root, tmp_path, monkeypatch):
    monkeypatch.setattr(detector_training, "build_detector", build_detector)
    train(boxed_config(root, steps=1), tmp_path)
    assert sorted(boxes_file(tmp_path)["images"]) == ["p4", "p5", "p6"]


@pytest.mark.slow
def test_a_detector_learns_to_find_things(tmp_path):
    root = write_things(tmp_path / "things", labeled=24, unlabeled=1, gold=8)
    learning = {"steps": 250, "batch": 4, "lr": 3e-3, "min_score": 0.5, "scale_range": (1.0, 1.2)}
    config = boxed_config(root, steps=1)
    config = dataclasses.replace(config, detector=detector_config(**learning))
    make_boxes(config, tmp_path / "run")
    held_out = summary_file(tmp_path / "run")["held_out"]
    assert held_out["matched"] > 0.8 and held_out["coverage"] > 0.8


def test_a_method_that_needs_no_boxes_trains_no_detector(root, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "build_method", lookup.build_method)
    train(boxed_config(root), tmp_path)
    assert not (tmp_path / "detector").exists()


def test_the_same_seed_gives_the_same_boxes(root, finished, tmp_path):
    make_boxes(boxed_config(root), tmp_path)
    assert boxes_file(tmp_path) == boxes_file(finished)


def test_another_seed_gives_other_boxes(root, finished, tmp_path):
    make_boxes(apply_changes(boxed_config(root), ["run.seed=1"]), tmp_path)
    assert boxes_file(tmp_path)["images"] != boxes_file(finished)["images"]


def test_a_run_folder_finds_boxes_on_any_image(root, finished):
    sample = build_dataset("folder", root, "gold")[0]
    boxes_for = detector_of_run(boxed_config(root), TrustBoxes(), finished, torch.device("cpu"))
    stored = np.array(boxes_file(finished, "held_out_boxes.json")["images"][sample.sample_id], np.float32)[:, :5]
    assert boxes_for is not None and torch.equal(boxes_for(sample)[0], torch.from_numpy(stored))


def test_a_run_without_a_detector_says_so(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        detector_of_run(boxed_config(root), TrustBoxes(), tmp_path, torch.device("cpu"))
