"""The comparison on CamVid: what its cells are, that they resume, and that only the split's labels are learned."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import camvid_matrix
from benchmarks.camvid_matrix import Matrix, main, needs_run, run_job
from benchmarks.matrix_cells import METHODS, PRESETS, Cell, cell_config, config_hash, published_config
from benchmarks.matrix_data import check_protocol, half_size_copy
from benchmarks.matrix_results import read_cell
from benchmarks.matrix_run import CellJob, run_cell, seconds_per_step
from datasets.formats import camvid
from datasets.splits import LabeledSplit, write_split
from tests.unit.matrix_cases import tiny_preset, write_camvid, write_cell
from training.signals import StopFlag

REPOSITORY = Path(__file__).resolve().parents[2]
SUPERVISED = Cell("supervised", "1_8", 0)


@pytest.fixture(scope="module")
def camvid_folder(tmp_path_factory):
    return write_camvid(tmp_path_factory.mktemp("camvid"))


@pytest.fixture(scope="module")
def finished(camvid_folder, tmp_path_factory):
    """FixMatch after 4 steps: its job and its result."""
    work = tmp_path_factory.mktemp("work")
    matrix = Matrix("cpu_proxy", tiny_preset(), camvid_folder, work, work / "out")
    job = matrix.job(Cell("fixmatch", "1_8", 0))
    run_cell(job)
    return job, read_cell(job.result)


def matrix_in(folder, root):
    return Matrix("cpu_proxy", tiny_preset(), root, folder / "work", folder / "out")


def test_one_seed_is_whole_before_the_next_begins():
    order = [cell.seed for cell in PRESETS["gpu"]().cells()]
    assert order == sorted(order) and len(order) == len(METHODS) * 2 * 3


def test_what_the_others_are_compared_with_runs_first():
    assert [cell.method for cell in PRESETS["cpu_proxy"]().cells()][:3] == ["supervised", "fixmatch", "unimatch"]


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown method 'meanteacher'; choose from supervised"):
        PRESETS["gpu"]().cells(("meanteacher",))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", METHODS)
def test_all_methods_share_everything_but_host_selection_and_detector(preset, method, tmp_path):
    made = PRESETS[preset]()
    config = cell_config(made, Cell(method, "1_8", 0), tmp_path)
    same = dataclasses.replace(
        config, host=made.config.host, selection=made.config.selection, data=made.config.data,
        detector=made.config.detector,
    )  # fmt: skip
    assert same == made.config


@pytest.mark.parametrize("method", [name for name in METHODS if name != "supervised"])
def test_every_semi_supervised_cell_begins_with_the_same_labels_only_steps(method, tmp_path):
    preset = PRESETS["gpu"]()
    config = cell_config(preset, Cell(method, "1_8", 0), tmp_path)
    assert round(config.host.supervised_share * config.run.steps) == preset.supervised_steps() == 500


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_evaluated_on_test_or_val_while_training(preset, tmp_path):
    config = cell_config(PRESETS[preset](), SUPERVISED, tmp_path)
    assert (config.data.split, config.evaluation.split) == ("train", "none")


def test_a_published_configuration_holds_no_path(tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"weights")
    config = cell_config(PRESETS["gpu"](str(weights)), SUPERVISED, tmp_path)
    assert str(tmp_path) not in json.dumps(published_config(config))


def test_the_hash_does_not_depend_on_where_the_data_lies(tmp_path):
    one, other = (cell_config(PRESETS["gpu"](), SUPERVISED, tmp_path / name) for name in ("a", "b"))
    assert config_hash(published_config(one)) == config_hash(published_config(other))


def test_a_split_with_a_test_frame_is_refused(camvid_folder, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(camvid_folder, root)
    write_split(root / "splits" / "bad", LabeledSplit(("0001TP_00000",), ("Seq05VD_f_00001",)))
    with pytest.raises(ValueError, match="1 images that are no training frames, for example Seq05VD_f_00001"):
        check_protocol(root, "bad")


def test_the_half_size_copy_has_train_and_test_but_no_val(camvid_folder, tmp_path):
    half = half_size_copy(camvid_folder, tmp_path, ["1_8"])
    assert sorted(path.name for path in (half / "images").iterdir()) == ["test", "train"]


def test_the_half_size_copy_averages_images_and_picks_labels(camvid_folder, tmp_path):
    half = camvid.build(half_size_copy(camvid_folder, tmp_path, ["1_8"]), "train")[0]
    whole = camvid.build(camvid_folder, "train")[0]
    assert half.image[0, 0] == pytest.approx(whole.image[:2, :2].mean(axis=(0, 1)), abs=0.51)
    np.testing.assert_array_equal(half.label, whole.label[::2, ::2])


def test_an_interrupted_copy_is_not_taken_for_a_whole_one(camvid_folder, tmp_path):
    (tmp_path / "camvid_half.unfinished" / "images" / "train").mkdir(parents=True)
    assert len(camvid.build(half_size_copy(camvid_folder, tmp_path, ["1_8"]), "train")) == 6


def test_a_cell_measures_the_last_checkpoint_on_all_test_frames(finished):
    assert finished[1]["test"]["images"] == 3 and finished[1]["config"]["run"]["steps"] == 4


def test_a_cell_learns_from_the_labels_of_its_split_only(finished):
    assert (finished[1]["labeled_images"], finished[1]["unlabeled_images"]) == (2, 4)


def test_the_blocks_of_a_cell_add_up_to_its_test_set(finished):
    labeled_pixels = np.array(finished[1]["blocks"]["confusion"]).sum()
    assert labeled_pixels == 3 * 64 * 80


def test_a_cell_tells_pseudo_label_quality_over_time(finished):
    assert [point["step"] for point in finished[1]["pseudo_labels"]] == [2, 4]


def test_a_cell_scores_flipped_views(finished):
    assert "flip_confidence" in finished[1]["test"]["reliability"]


def test_a_result_names_no_path(finished):
    job, _ = finished
    text = job.result.read_text()
    assert str(job.run_dir) not in text and job.config.data.root not in text


def test_a_finished_cell_is_not_run_again(finished):
    job, _ = finished
    matrix = Matrix("cpu_proxy", tiny_preset(), job.run_dir.parent, job.run_dir.parent, job.result.parent)
    assert matrix.state(job.cell) == "done" and not needs_run(matrix, job.cell, force=False)


def test_a_cell_that_lost_its_result_continues_from_its_checkpoint(finished, tmp_path):
    job, before = finished
    again = dataclasses.replace(job, result=tmp_path / "again.json")
    assert run_cell(again)["test"]["miou"] == pytest.approx(before["test"]["miou"])


def test_a_result_of_another_configuration_is_refused_by_its_keys(camvid_folder, tmp_path):
    matrix = matrix_in(tmp_path, camvid_folder)
    write_cell(matrix.out, SUPERVISED, 0.5)  # cpu_proxy's own configuration, not the tiny one
    with pytest.raises(ValueError, match=r"made with other values of .*run\.steps.*--force"):
        needs_run(matrix, SUPERVISED, force=False)


def test_force_removes_a_result_of_another_configuration(camvid_folder, tmp_path):
    matrix = matrix_in(tmp_path, camvid_folder)
    path = write_cell(matrix.out, SUPERVISED, 0.5)
    assert needs_run(matrix, SUPERVISED, force=True) and not path.exists()


def test_a_stored_configuration_without_a_newer_key_still_matches(tmp_path):
    matrix = Matrix("cpu_proxy", PRESETS["cpu_proxy"](), tmp_path, tmp_path, tmp_path / "out")
    path = write_cell(matrix.out, SUPERVISED, 0.5)
    content = json.loads(path.read_text())
    del content["config"]["evaluation"]["flip"]
    path.write_text(json.dumps(content))
    assert matrix.state(SUPERVISED) == "done"


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="x.json is not the result of a cell"):
        read_cell(tmp_path / "x.json")


def without(content, key):
    return {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: without(content, "machine"), "KeyError\\('machine'\\)"),
        (lambda content: {**content, "blocks": {**content["blocks"], "scores": {}}}, "KeyError\\('confidence'\\)"),
        (lambda content: {**content, "blocks": without(content["blocks"], "names")}, "KeyError\\('names'\\)"),
        (
            lambda content: {
                **content,
                "blocks": {**content["blocks"], "confusion": content["blocks"]["confusion"][1:]},
            },
            r"counts of confusion \(7, 11, 11\), not \(8, 11, 11\)",
        ),
    ],
    ids=["no machine", "no scores", "no names", "a block too few"],
)
def test_a_result_that_lacks_something_is_refused(tmp_path, change, message):
    path = write_cell(tmp_path, SUPERVISED, 0.5)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=f"seed0.json is not the result of a cell .*{message}.*; remove it to run"):
        read_cell(path)


def test_a_missing_data_set_is_said_to_be_missing(tmp_path, capsys):
    flags = ["--preset", "cpu_proxy", "--data-root", str(tmp_path / "nowhere"), "--work", str(tmp_path), "--list"]
    assert main(flags) == 2 and "no data set at" in capsys.readouterr().err


def test_a_result_of_another_format_is_refused(tmp_path):
    matrix = Matrix("cpu_proxy", PRESETS["cpu_proxy"](), tmp_path, tmp_path, tmp_path / "out")
    path = write_cell(matrix.out, SUPERVISED, 0.5)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(ValueError, match=r"seed0\.json has format 2, this version reads 1"):
        read_cell(path)


def test_a_measured_time_replaces_the_estimate(tmp_path):
    matrix = Matrix("cpu_proxy", PRESETS["cpu_proxy"](), tmp_path, tmp_path, tmp_path / "out")
    write_cell(matrix.out, SUPERVISED, 0.5)
    assert matrix.seconds(Cell("supervised", "1_16", 3)) == 15 + 45


def test_the_preset_for_cpus_is_estimated_below_20_minutes(tmp_path):
    matrix = Matrix("cpu_proxy", PRESETS["cpu_proxy"](), tmp_path, tmp_path, tmp_path / "out")
    assert sum(matrix.seconds(cell) for cell in matrix.preset.cells()) < 20 * 60


def test_step_times_are_medians_before_and_after_the_labels_only_steps():
    times = [0.1, 0.1, 0.9, 0.4, 0.4, 7.0]  # the last window held an evaluation
    logged = [{"step": 10 * (n + 1), "seconds_per_step": time} for n, time in enumerate(times)]
    assert seconds_per_step(logged, 20) == {"labels_only": 0.1, "after": 0.65}


def test_listing_runs_nothing(camvid_folder, tmp_path, capsys):
    arguments = ["--preset", "gpu", "--data-root", str(camvid_folder), "--work", str(tmp_path), "--splits", "1_8"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--list"]) == 0
    assert "fixmatch-1_8-seed2" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_a_work_folder_inside_the_repository_is_refused(camvid_folder, capsys):
    arguments = ["--preset", "gpu", "--data-root", str(camvid_folder), "--splits", "1_8", "--list"]
    assert main([*arguments, "--work", str(camvid_matrix.RESULTS_FOLDER)]) == 2
    assert "lies in the repository" in capsys.readouterr().err


def test_no_cell_starts_that_would_end_too_late(camvid_folder, tmp_path, capsys):
    matrix = matrix_in(tmp_path, camvid_folder)
    assert camvid_matrix.run_matrix(matrix, [SUPERVISED], force=False, minutes=0.1) == 130
    assert "more than is left" in capsys.readouterr().err and not matrix.out.exists()


@pytest.mark.slow
def test_a_cell_that_cannot_run_ends_with_code_2(camvid_folder, tmp_path):
    job = matrix_in(tmp_path, camvid_folder).job(SUPERVISED)
    broken = dataclasses.replace(job.config, data=dataclasses.replace(job.config.data, root=str(tmp_path)))
    job = CellJob(job.cell, job.preset, broken, job.labels_only_steps, job.run_dir, job.result)
    assert run_job(job, StopFlag(), None) == 2


def test_a_request_to_stop_reaches_the_process_of_the_cell(camvid_folder, tmp_path):
    matrix = Matrix("cpu_proxy", tiny_preset(steps=100_000), camvid_folder, tmp_path / "work", tmp_path / "out")
    stop = StopFlag()
    stop.set()
    assert run_job(matrix.job(SUPERVISED), stop, None) == 130 and not matrix.out.exists()


def test_a_cell_does_not_outlive_the_process_that_started_it():
    lines = [
        "import multiprocessing, signal",
        "from benchmarks.matrix_run import end_with_parent",
        "def cell():",
        "    end_with_parent()",
        "    print('running', flush=True)",
        "    signal.pause()",
        "process = multiprocessing.get_context('fork').Process(target=cell)",
        "process.start()",
        "process.join()",
    ]
    parent = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert parent.stdout.readline() == "running\n"
    parent.kill()
    parent.communicate(timeout=60)  # the pipe ends with the last process that holds it
