"""`python -m training calibrate` on a run folder, up to the exported file."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from datasets.frames import FrameRule, set_apart
from datasets.lookup import build_dataset
from datasets.splits import read_split
from export import __main__ as export_command
from export import student_export
from export.model_file import read_model
from export.session import load_predictor
from reliability import combined_fit
from reliability.risk_control import THRESHOLDS
from reliability.score_bins import NUM_BINS
from tests.unit.export_models import tiny_onnx
from tests.unit.training_cases import color_blocks, tiny_config, write_blocks
from training import combined
from training.__main__ import main
from training.calibration import CalibrationRequest, CannotCalibrateError, calibrate_counts
from training.calibration_file import read_calibration, student_digest
from training.checkpoint import load_student
from training.config_json import write_config
from training.held_out import training_overlap
from training.records import write_json


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_blocks(tmp_path_factory.mktemp("blocks"), labeled=4, unlabeled=4, gold=12)


@pytest.fixture(scope="module")
def run_dir(root, tmp_path_factory) -> Path:
    """A run that learned a little."""
    folder = tmp_path_factory.mktemp("runs")
    write_config(folder / "start.json", tiny_config(root, host="supervised", steps=25))
    assert main(["fit", "--config", str(folder / "start.json"), "--run-dir", str(folder / "run")]) == 0
    return folder / "run"


def calibrate(run_dir: Path, root: Path, *more: str) -> int:
    data = ["--data-format", "folder", "--data-root", str(root)]
    return main(["calibrate", "--run-dir", str(run_dir), *data, *more])


@pytest.fixture(scope="module")
def content(run_dir, root) -> dict:
    assert calibrate(run_dir, root, "--independent", "--alpha", "0.12", "--progress-file", str(run_dir / "p.json")) == 0
    return json.loads((run_dir / "calibration.json").read_text())


def test_the_run_folder_says_what_was_found(content, run_dir):
    assert content["thresholds"]["image"]["units"] == content["data"]["threshold_images"] == 9
    assert content["data"]["fit_images"] == 3
    assert content["quality"]["after"]["pixels"] == 9 * 64 * 80
    assert {path.name for path in (run_dir / "plots").iterdir()} >= {
        "calibration_reliability.png",
        "calibration_risk.png",
    }
    assert json.loads((run_dir / "p.json").read_text())["done"] == 12


def test_every_listed_number_belongs_to_its_threshold(content):
    curve = content["curve"]
    assert {len(values) for values in curve.values()} == {61}
    index = next(place for place, value in enumerate(curve["threshold"]) if value >= content["note"]["threshold"])
    assert curve["coverage"][index] >= content["note"]["coverage"]
    weighted = sum(
        entry["pixels"] * entry["coverage"][index] for entry in content["classes"].values() if entry["pixels"]
    )
    assert weighted / (9 * 64 * 80) == pytest.approx(curve["coverage"][index], rel=1e-4)


def test_the_table_comes_back_to_the_bit(content, run_dir):
    student, _ = load_student(run_dir)
    stored = read_calibration(run_dir / "calibration.json", student, flip_average=False)
    assert stored.reliability.table.tolist() == torch.tensor(content["table"]).flatten().tolist()
    assert content["note"]["threshold"] in THRESHOLDS.tolist()


@pytest.fixture(scope="module")
def exported(content, run_dir) -> Path:
    assert export_command.main(["onnx", "--run-dir", str(run_dir), "--out", str(run_dir / "student.onnx")]) == 0
    return run_dir / "student.onnx"


def test_the_file_says_what_is_promised(exported, content):
    metadata = read_model(exported).metadata
    assert metadata.calibration == content["note"]
    assert metadata.calibration["is_promised"] and metadata.calibration["data_sha256"] == content["data"]["sha256"]
    assert "probability_wrong" in metadata.scores


def test_the_file_calls_reliable_what_is_wrong_at_most_with_the_threshold(exported, content):
    prediction = load_predictor(exported).predict(color_blocks(77)[0])
    threshold = np.float32(content["note"]["threshold"])
    assert np.array_equal(prediction.reliable, prediction.probability_wrong <= threshold)
    assert np.array_equal(prediction.probability_right, 1 - prediction.probability_wrong)
    assert 0 < prediction.reliable.mean() < 1


def test_the_pixels_of_the_file_are_those_that_were_counted(exported, content, root):
    """Coverage over the images of the threshold, from the ONNX file instead of the student."""
    dataset = build_dataset("folder", root, "gold")
    fitted = set_apart(dataset.sample_ids, 0.25, 0, FrameRule(independent=True))
    predictor = load_predictor(exported)
    reliable = wrong = pixels = 0
    for index, name in enumerate(dataset.sample_ids):
        if name not in fitted:
            sample = dataset[index]
            prediction = predictor.predict(sample.image)
            reliable += int(prediction.reliable.sum())
            wrong += int((prediction.label != sample.label)[prediction.reliable].sum())
            pixels += prediction.reliable.size
    assert reliable / pixels == pytest.approx(content["note"]["coverage"], abs=2e-4)
    assert wrong / reliable == pytest.approx(content["note"]["error_rate"], abs=2e-4)


def test_check_compares_a_calibrated_file_with_its_run(exported, run_dir):
    assert export_command.main(["check", str(exported), "--run-dir", str(run_dir)]) == 0


def test_check_ends_with_4_where_the_metadata_promises_something_else_than_the_run(exported, run_dir, tmp_path, capsys):
    proto = onnx.load(exported)
    (entry,) = (entry for entry in proto.metadata_props if entry.key == "calibration")
    entry.value = json.dumps({**json.loads(entry.value), "alpha": 0.001, "bound": 0.0005})
    onnx.save(proto, tmp_path / "forged.onnx")
    assert export_command.main(["check", str(tmp_path / "forged.onnx"), "--run-dir", str(run_dir)]) == 4
    assert "alpha is 0.001 instead of 0.12, bound is 0.0005 instead of" in capsys.readouterr().err


def test_a_file_without_a_calibration_is_read_as_before(tmp_path):
    (tmp_path / "plain.onnx").write_bytes(tiny_onnx())
    prediction = load_predictor(tmp_path / "plain.onnx").predict(color_blocks(77)[0])
    assert read_model(tmp_path / "plain.onnx").metadata.calibration is None and prediction.probability_wrong is None
    assert prediction.probability_right is prediction.confidence


def test_a_file_can_leave_the_calibration_out(content, run_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(student_export, "build_onnx", lambda module, metadata: onnx.load_model_from_string(tiny_onnx()))
    out = tmp_path / "plain.onnx"
    arguments = ["onnx", "--run-dir", str(run_dir), "--out", str(out), "--no-calibration", "--no-check"]
    assert export_command.main(arguments) == 0
    assert "Not calibrated: reliable is the method's own verdict" in capsys.readouterr().out


def test_a_file_that_hides_its_calibrated_output_is_refused(exported, tmp_path):
    model = onnx.load(exported)
    kept = [output for output in model.graph.output if output.name != "probability_wrong"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.save(model, tmp_path / "cut.onnx")
    with pytest.raises(ValueError, match="lacks the outputs probability_wrong"):
        read_model(tmp_path / "cut.onnx")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"student_sha256": "0"}, "other weights"),
        ({"flip_average": True}, "mirror image"),
        ({"format": 2}, "format 2"),
        ({"table": None}, "damaged"),
    ],
)
def test_an_export_refuses_a_calibration_that_is_not_its_own(content, run_dir, tmp_path, capsys, change, problem):
    other = tmp_path / "run"
    other.mkdir()
    for name in ("config.json", "checkpoint"):
        (other / name).symlink_to(run_dir / name)
    write_json(other / "calibration.json", {**content, **change})
    out = tmp_path / "student.onnx"
    assert export_command.main(["onnx", "--run-dir", str(other), "--out", str(out)]) == 2
    assert problem in capsys.readouterr().err and not out.exists()


def test_the_digest_of_a_student_changes_with_any_weight(run_dir):
    student, _ = load_student(run_dir)
    before = student_digest(student)
    next(iter(student.parameters())).data.flatten()[0] += 1e-3
    assert student_digest(student) != before


def test_measuring_on_images_that_were_trained_on_is_warned_of(run_dir, root):
    _, config = load_student(run_dir)
    assert "4 of the 4 images were trained on" in training_overlap(
        run_dir, config, build_dataset("folder", root, "train")
    )
    assert training_overlap(run_dir, config, build_dataset("folder", root, "gold")) is None


def test_independent_pictures_are_not_counted_in_blocks_of_frames(run_dir, root, capsys):
    assert calibrate(run_dir, root, "--independent", "--alpha", "0.12") == 0
    said = capsys.readouterr().out
    assert "Asked: 12.0 %" in said and "blocks" not in said


def test_images_without_a_labeled_pixel_are_told_apart():
    counts = torch.zeros(8, 2, NUM_BINS, 2, dtype=torch.int64)
    counts[:6, :, 3, 0] = 50
    names = [f"picture_{letter}" for letter in "abcdefgh"]
    assert calibrate_counts(counts, names, CalibrationRequest(alpha=0.5)).void_images == 2
    with pytest.raises(CannotCalibrateError, match="got 0, and 2 that are void everywhere"):
        calibrate_counts(counts[6:], names[6:], CalibrationRequest())


def test_training_images_are_refused(run_dir, root, tmp_path, capsys):
    assert calibrate(run_dir, root, "--split", "train", "--independent") == 5
    assert "were trained on" in capsys.readouterr().err


def test_a_copy_of_a_training_image_under_another_name_is_refused(run_dir, tmp_path, capsys):
    copy = write_blocks(tmp_path / "copy", labeled=4, unlabeled=4, gold=12)
    trained = next(iter(sorted((copy / "images" / "train").iterdir())))
    victim = next(iter(sorted((copy / "images" / "gold").iterdir())))
    victim.write_bytes(trained.read_bytes())
    assert calibrate(run_dir, copy, "--independent") == 5
    assert f"1 of the 12 images were trained on ({victim.stem})" in capsys.readouterr().err


def test_frames_beside_training_frames_are_refused(run_dir, root, tmp_path, capsys):
    beside = write_blocks(tmp_path / "beside", labeled=4, unlabeled=4, gold=6)
    for kind in ("images", "masks"):
        for number in reversed(range(6)):  # p0 to p3 were trained on
            (beside / kind / "gold" / f"p{number}.png").rename(beside / kind / "gold" / f"p{number + 4}.png")
    assert calibrate(run_dir, beside) == 5
    assert "1 of the 6 images have fewer than 2 steps to a training frame (p4 beside p3)" in capsys.readouterr().err
    assert calibrate(run_dir, beside, "--gap", "0") == 0


def test_too_few_images_are_exit_code_5(run_dir, tmp_path, capsys):
    few = write_blocks(tmp_path / "few", labeled=4, unlabeled=4, gold=3)
    assert calibrate(run_dir, few, "--independent") == 5
    assert "at least 5 labeled images" in capsys.readouterr().err


def test_a_student_that_is_not_finite_is_refused(run_dir, root, tmp_path, monkeypatch, capsys):
    student, config = load_student(run_dir)
    next(iter(student.parameters())).data[:] = float("nan")
    monkeypatch.setattr("training.calibrate.load_student", lambda folder: (student, config))
    assert calibrate(run_dir, root, "--independent") == 2
    assert "not a number from 0 to 1" in capsys.readouterr().err


def test_split_can_hold_blocks_out_for_calibrating(tmp_path, capsys):
    root = write_blocks(tmp_path / "data", labeled=8, unlabeled=0, gold=2)
    data = ["--data-format", "folder", "--data-root", str(root)]
    assert main(["split", *data, "--fraction", "1", "--hold-out", "1/4", "--name", "most"]) == 0
    kept, held_out = (read_split(root / "splits" / name) for name in ("most", "most_held_out"))
    assert (len(kept.labeled), len(held_out.labeled)) == (5, 2)
    assert not set(kept.labeled) & set(held_out.labeled)
    assert "2 held out; 1 frames beside them" in capsys.readouterr().out


@pytest.mark.slow
def test_a_file_judges_pixels_by_the_combined_score_as_torch_does(run_dir, root, tmp_path, monkeypatch):
    """Fitted on three pictures for a few steps, which is no score to rely on, but one that travels like any other."""
    monkeypatch.setattr(combined, "MIN_FIT_IMAGES", 3)
    monkeypatch.setattr(combined, "_not_better", lambda ours, theirs: "")
    monkeypatch.setattr(combined_fit, "STEPS", 30)
    other = tmp_path / "run"
    other.mkdir()
    for name in ("config.json", "checkpoint", "summary.json"):
        (other / name).symlink_to(run_dir / name)
    assert calibrate(other, root, "--independent", "--alpha", "0.12", "--score", "combined") == 0
    out = tmp_path / "student.onnx"
    assert export_command.main(["onnx", "--run-dir", str(other), "--out", str(out)]) == 0  # which compares with torch
    assert read_model(out).metadata.calibration["score"] == "combined"
    stored = read_calibration(other / "calibration.json", load_student(other)[0], flip_average=False)
    prediction = load_predictor(out).predict(color_blocks(77)[0])
    probabilities = torch.from_numpy(prediction.probabilities)[None]
    expected = stored.reliability(probabilities, probabilities.argmax(dim=1))[0][0].numpy()
    assert np.abs(prediction.probability_wrong - expected).max() < 1e-3
    assert np.unique(prediction.probability_wrong).size > 20


def test_with_too_few_images_the_report_says_which_score_it_is(run_dir, root, tmp_path, capsys):
    other = tmp_path / "run"
    other.mkdir()
    for name in ("config.json", "checkpoint", "summary.json"):
        (other / name).symlink_to(run_dir / name)
    assert calibrate(other, root, "--independent", "--score", "combined") == 0
    assert "The score is confidence: the combined score needs 20 images" in " ".join(capsys.readouterr().out.split())
    assert json.loads((other / "calibration.json").read_text())["note"]["score"] == "confidence"
