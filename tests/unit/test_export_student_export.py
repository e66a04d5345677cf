"""A student file is published only when it says what torch says; otherwise nothing is written."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from datasets.labels import ClassSet
from export import __main__ as command
from export import student_export
from export.model_file import check_model, read_model
from export.onnx_check import check_against_torch
from export.onnx_graph import build_export_module, build_onnx
from export.student_export import ExportChoice, OutputsDifferError, export_run, export_student, resolve_options
from reliability.lookup import build_method
from reliability.selection import PixelSelection, SelectionMethod
from tests.unit.export_models import MEAN, STD, STRIDE, TinyStudent, tiny_metadata, tiny_module, tiny_onnx
from training.checkpoint import Checkpoint, load_trained_method, save_checkpoint
from training.config import ModelConfig, SelectionConfig, TrainConfig
from training.config_json import write_config
from training.models import build_student


class VanishingEpsilon(SelectionMethod):
    """torch gives weights below 1; the exporter deletes the addition of 1e-8 and gives 1."""

    def forward(self, inputs):
        tiny = inputs.probabilities.amax(dim=1) * 1e-8
        weight = tiny / (tiny + 1e-8)
        return PixelSelection(inputs.probabilities.argmax(dim=1), weight, weight > 2, {})


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    """A run folder as training writes it, with fresh weights."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    classes = ClassSet.from_names(("sky", "road", "car"))
    config = TrainConfig(model=ModelConfig(backbone="fpn_resnet10t"), classes=classes.to_json())
    write_config(folder / "config.json", config)
    torch.manual_seed(0)
    student = build_student(config.model, len(classes))
    save_checkpoint(folder, Checkpoint(7, {"student": student.state_dict()}, {"data_sha256": "cd" * 32}))
    return folder


@pytest.fixture(scope="module")
def exported(run_dir, tmp_path_factory) -> Path:
    """The student of that run, exported by the command."""
    path = tmp_path_factory.mktemp("models") / "student.onnx"
    flags = ["--set", "alpha=4", "--progress-file", str(path.with_name("progress.json"))]
    assert command.main(["onnx", "--run-dir", str(run_dir), "--out", str(path), *flags]) == 0
    return path


@pytest.fixture(scope="module")
def without_epsilon() -> onnx.ModelProto:
    """What the exporter makes of VanishingEpsilon."""
    return build_onnx(vanishing_module(), tiny_metadata())


def vanishing_module():
    return build_export_module(TinyStudent().eval(), VanishingEpsilon(), MEAN, STD, STRIDE)


def test_a_student_is_published_with_its_report(tmp_path, monkeypatch):
    monkeypatch.setattr(student_export, "build_onnx", lambda module, metadata: onnx.load_model_from_string(tiny_onnx()))
    module = tiny_module(require_confidence=True)
    result = export_student(module, tiny_metadata(), tmp_path / "new" / "student.onnx")
    assert result.report is not None
    assert result.report.problem() is None
    assert read_model(result.path).sha256 == result.sha256
    assert [path.name for path in result.path.parent.iterdir()] == ["student.onnx"]


def test_a_graph_that_lost_an_epsilon_is_refused_and_the_old_file_stays(tmp_path, monkeypatch, without_epsilon):
    monkeypatch.setattr(student_export, "build_onnx", lambda module, metadata: without_epsilon)
    out = tmp_path / "student.onnx"
    out.write_bytes(b"the model in use")
    with pytest.raises(OutputsDifferError, match=r"weight is within 0\.001 in 0\.000% .*student\.onnx was not written"):
        export_student(vanishing_module(), tiny_metadata(), out)
    assert out.read_bytes() == b"the model in use"
    assert [path.name for path in tmp_path.iterdir()] == ["student.onnx"]


def test_the_refused_graph_passes_every_check_but_the_comparison(tmp_path, monkeypatch, without_epsilon):
    monkeypatch.setattr(student_export, "build_onnx", lambda module, metadata: without_epsilon)
    result = export_student(vanishing_module(), tiny_metadata(), tmp_path / "student.onnx", check=False)
    assert result.report is None
    check_model(result.path.read_bytes(), "student.onnx")


def test_a_file_of_other_weights_differs_in_its_probabilities():
    other = build_export_module(
        TinyStudent(seed=1).eval(), build_method("csl", require_confidence=True), MEAN, STD, STRIDE
    )
    problem = check_against_torch(other, tiny_onnx(), STRIDE).problem()
    assert problem is not None
    assert problem.startswith("probabilities differs by ")


def test_a_file_of_another_method_differs_in_its_reliable_mask():
    other = tiny_module("fixed_threshold", threshold=0.5)
    assert "reliable is equal in" in str(check_against_torch(other, tiny_onnx(), STRIDE).problem())


def test_a_student_that_is_not_finite_never_agrees():
    student = TinyStudent().eval()
    student.mix.bias.data[0] = float("nan")
    module = build_export_module(student, build_method("csl"), MEAN, STD, STRIDE)
    assert "probabilities differs by inf" in str(check_against_torch(module, tiny_onnx(), STRIDE).problem())


def test_the_check_covers_a_batch_odd_sides_and_sides_below_the_stride():
    shapes = [
        entry.shape for entry in check_against_torch(tiny_module(require_confidence=True), tiny_onnx(), STRIDE).pictures
    ]
    assert any(count > 1 and height % STRIDE and width % STRIDE for count, height, width in shapes)
    assert any(height < STRIDE and width < STRIDE for _, height, width in shapes)
    assert any(height % STRIDE == 0 and width % STRIDE == 0 for _, height, width in shapes)


def test_a_student_above_the_size_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(student_export, "MAX_MODEL_BYTES", 1000)
    monkeypatch.setattr(student_export, "build_onnx", lambda module, metadata: onnx.load_model_from_string(tiny_onnx()))
    with pytest.raises(ValueError, match="smaller backbone"):
        export_student(tiny_module(), tiny_metadata(), tmp_path / "student.onnx")
    assert list(tmp_path.iterdir()) == []


def test_exported_options_ask_for_confidence_whatever_training_used():
    trained_with = {"alpha": 4.0, "require_confidence": False}
    assert resolve_options("csl", trained_with, {}) == {"alpha": 4.0, "require_confidence": True}


def test_given_options_win():
    assert resolve_options("csl", {}, {"require_confidence": False})["require_confidence"] is False


def test_options_that_a_method_does_not_have_are_not_added():
    assert resolve_options("fixed_threshold", {}, {}) == {"threshold": 0.95}


def test_the_command_exports_the_student_of_a_run_with_its_recipe(exported):
    metadata = read_model(exported).metadata
    assert metadata.class_set.names == ("sky", "road", "car")
    assert metadata.method_options == {"alpha": 4, "require_confidence": True}
    assert metadata.recipe["model"]["backbone"] == "fpn_resnet10t"
    assert (metadata.data_sha256, metadata.stride) == ("cd" * 32, 32)


def test_the_file_gives_the_labels_of_the_student_that_training_evaluates(exported, run_dir):
    student, config = student_export.load_student(run_dir)
    image = np.random.default_rng(3).integers(0, 256, (1, 75, 101, 3), dtype=np.uint8)
    normalized = (torch.from_numpy(image) / 255 - torch.tensor(config.mean)) / torch.tensor(config.std)
    with torch.no_grad():
        expected = torch.softmax(student(normalized.permute(0, 3, 1, 2)).logits, dim=1).numpy()
    session = onnxruntime.InferenceSession(exported.read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"image": image})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_check_accepts_the_file_of_its_run(exported, run_dir, capsys):
    assert command.main(["check", str(exported), "--run-dir", str(run_dir)]) == 0
    assert "same outputs" in capsys.readouterr().out


def test_check_of_another_run_ends_with_4_and_one_line(exported, run_dir, tmp_path, capsys):
    other = tmp_path / "other"
    config = student_export.load_student(run_dir)[1]
    write_config(other / "config.json", config)
    torch.manual_seed(9)
    student = build_student(config.model, 3)
    save_checkpoint(other, Checkpoint(7, {"student": student.state_dict()}, {"data_sha256": "cd" * 32}))
    assert command.main(["check", str(exported), "--run-dir", str(other)]) == 4
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {exported} is not the student of {other}: ")


def test_a_difference_ends_with_4_and_names_it(run_dir, exported, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(student_export, "build_onnx", lambda module, metadata: onnx.load(exported))
    out, other_method = tmp_path / "student.onnx", ["--method", "fixed_threshold", "--set", "threshold=1"]
    assert command.main(["onnx", "--run-dir", str(run_dir), "--out", str(out), *other_method]) == 4
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ONNX and PyTorch disagree: reliable is equal in")
    assert list(tmp_path.iterdir()) == []


WRONG_COMMANDS = {
    "no run folder": (["--run-dir", "nowhere"], "nowhere is no run folder"),
    "unknown option": (["--set", "beta=1"], "has no option 'beta'"),
    "no value": (["--set", "alpha"], "expected option=value"),
    "value out of range": (["--set", "alpha=-1"], "alpha"),
    "threshold that training moves": (["--method", "s4mc"], "relaxes its threshold while a student trains; fix one"),
}


@pytest.mark.parametrize(("flags", "message"), WRONG_COMMANDS.values(), ids=WRONG_COMMANDS.keys())
def test_a_wrong_command_ends_with_2_and_one_line(run_dir, tmp_path, capsys, flags, message):
    out = tmp_path / "student.onnx"
    assert command.main(["onnx", "--run-dir", str(run_dir), "--out", str(out), *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not out.exists()


def test_a_folder_as_output_is_refused(tmp_path, run_dir):
    with pytest.raises(ValueError, match="is a folder"):
        export_run(run_dir, tmp_path)


def test_progress_ends_complete(exported):
    content = json.loads(exported.with_name("progress.json").read_text())
    assert content["done"] == content["total"] == 4


@pytest.mark.slow
def test_a_flip_averaged_student_says_so_and_is_checked_like_any(run_dir, tmp_path, capsys):
    path = tmp_path / "flipped.onnx"
    assert command.main(["onnx", "--run-dir", str(run_dir), "--out", str(path), "--flip-average"]) == 0
    metadata = read_model(path).metadata
    assert metadata.flip_average and "mirror image" in metadata.scores["probabilities"]
    assert command.main(["check", str(path), "--run-dir", str(run_dir)]) == 0


def test_a_method_that_learned_in_training_is_exported_with_what_it_learned(run_dir, tmp_path):
    student, config = student_export.load_student(run_dir)
    config = dataclasses.replace(config, selection=SelectionConfig(name="class_balanced"))
    method = build_method("class_balanced")
    method.prepare(len(config.class_set), student.num_features)
    for value in method.state_dict().values():
        value.fill_(0.625)
    write_config(tmp_path / "config.json", config)
    groups = {"student": student.state_dict(), "selection": method.state_dict()}
    save_checkpoint(tmp_path, Checkpoint(7, groups, {"data_sha256": "cd" * 32}))
    found = load_trained_method(tmp_path, student, config, "class_balanced", {})
    assert all((value == 0.625).all() for value in found.state_dict().values()) and found.state_dict()


def test_a_method_that_learned_nothing_in_this_run_is_refused(run_dir, tmp_path):
    with pytest.raises(ValueError, match="'class_balanced' learns while a student trains, but .* trained with 'csl'"):
        export_run(run_dir, tmp_path / "student.onnx", ExportChoice(method="class_balanced"))
