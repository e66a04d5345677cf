"""Rounds: what becomes visible, when, and that everything that goes wrong changes nothing."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.config import Workspace
from app.domain.states import ImageRole, ModelStatus
from app.services import gold as gold_module
from app.services import processes
from app.services.local_actor import local_actor
from app.services.model_limits import ask_promise
from app.services.processes import ChildFailedError, Monitor, WorkCancelledError
from app.services.round_folder import RoundFolder, RoundPlan, RoundState, find_round, only_round, round_folders
from app.services.round_steps import (
    CalibratedScore,
    RoundRequest,
    TrainingCommands,
    export_round,
    make_plan,
    train_round,
)
from app.services.rounds import list_models, start_round
from app.storage.database import Store, open_store
from app.storage.models import Image
from app.storage.settings import CalibrationSettings
from datasets.formats.manifest import read_manifest
from reliability.calibrated import SCORE_NAMES
from tests.unit.made_workspace import copy_store
from tests.unit.round_cases import (
    FakeCommands,
    FakePredictor,
    everything,
    import_pictures,
    models_by_round,
    run,
    script,
)

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported")
    import_pictures(root / "source", root / "workspace")
    return root / "workspace"


@pytest.fixture
def store(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(gold_module, "load_predictor", FakePredictor)
    store = copy_store(imported, tmp_path)
    yield store
    store.close()


@pytest.fixture
def commands(tmp_path: Path) -> FakeCommands:
    return FakeCommands(tmp_path / "started")


# What a round that works leaves behind


def test_the_first_model_becomes_the_current_one_with_its_gold_numbers(store: Store, commands: FakeCommands) -> None:
    commands.quality = "dark"
    run(store, commands)
    model = models_by_round(store)[1]
    assert (model.status, model.method) == (ModelStatus.CURRENT, "csl")
    assert model.gold is not None
    assert model.gold["miou"] == 0.25  # dark: half of all pixels right, bright: none
    assert model.gold["iou_per_class"] == [0.5, 0.0]
    assert (model.gold["reliable_coverage"], model.gold["reliable_precision"]) == (1.0, 0.5)
    assert model.gold["per_image"] == {"g1": 0.25, "g2": 0.25}


def test_a_later_model_is_a_candidate_and_the_current_one_stays(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    run(store, commands)
    found = {number: model.status for number, model in models_by_round(store).items()}
    assert found == {1: ModelStatus.CURRENT, 2: ModelStatus.CANDIDATE}


def test_gold_images_are_in_no_training_split(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    _, entries = read_manifest(find_round(store.workspace, 1).manifest)
    assert {entry.sample_id: entry.split for entry in entries} == {
        "a": "train", "b": "train", "c": "train", "g1": "gold", "g2": "gold"
    }  # fmt: skip


def test_labels_of_pool_images_are_not_in_the_manifest(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    _, entries = read_manifest(find_round(store.workspace, 1).manifest)
    assert {entry.sample_id for entry in entries if entry.label is None} == {"c"}


def test_a_pool_image_whose_file_is_damaged_is_left_out_and_named(
    store: Store, commands: FakeCommands, caplog: pytest.LogCaptureFixture
) -> None:
    with store.reader() as session:
        path = session.scalars(select(Image.path).where(Image.sample_id == "c")).one()
    store.workspace.absolute(path).write_bytes(b"no picture")
    run(store, commands)
    _, entries = read_manifest(find_round(store.workspace, 1).manifest)
    assert {entry.sample_id for entry in entries} == {"a", "b", "g1", "g2"}
    assert f"image c is left out of this round, because its file {path}" in caplog.text


def test_a_round_starts_from_the_current_models_weights(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    run(store, commands)
    assert [call["init_from"] for call in commands.calls] == [None, str(store.workspace.rounds / "001" / "run")]


def test_a_round_from_scratch_starts_from_no_weights(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    run(store, commands, from_scratch=True)
    assert commands.calls[1]["init_from"] is None


def test_the_preset_of_a_round_that_starts_from_weights_is_the_shorter_one(
    store: Store, commands: FakeCommands
) -> None:
    run(store, commands)
    run(store, commands)
    first, second = (str(call["preset"]) for call in commands.calls)
    assert second == f"{first}_retrain"


def test_the_training_command_names_manifest_preset_overrides_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.round_steps.require_training", lambda: None)
    folder = RoundFolder(tmp_path / "007")
    plan = RoundPlan("demo", {"run.steps": "5"}, None, False, "")
    command = TrainingCommands().fit(folder, plan, "rounds/006/run", resume=True)
    assert command[1:4] == ["-m", "training", "fit"]
    assert command[command.index("--data-root") + 1] == str(tmp_path / "007" / "manifest.json")
    assert command[command.index("--set") + 1] == "run.steps=5"
    assert command[command.index("--init-from") + 1] == "rounds/006/run"
    assert "--resume" in command


def test_exporting_a_registered_round_again_compares_it_and_registers_nothing(
    store: Store, commands: FakeCommands
) -> None:
    model_id = run(store, commands)
    assert export_round(store, store.workspace, 1, Monitor(), commands) == model_id
    assert commands.calls[-1] == {"checked": 1}
    assert len(list_models(store)) == 1


def test_exporting_a_registered_round_again_as_it_is_asked_now_makes_a_new_round_of_the_same_student(
    store: Store, commands: FakeCommands
) -> None:
    first = run(store, commands)
    before = everything(store)
    ask_promise(store, local_actor(), 0.3)
    second = export_round(store, store.workspace, 1, Monitor(), commands, again=True)
    assert commands.calibrated[-1] == (2, 0.3) and len(commands.calls) == 1  # nothing was trained
    found = {model.id: (model.round, model.status) for model in list_models(store)}
    assert found == {first: (1, ModelStatus.CURRENT), second: (2, ModelStatus.CANDIDATE)}
    assert everything(store)[0][0] == before[0][0]  # type: ignore[index]
    old, new = find_round(store.workspace, 1), find_round(store.workspace, 2)
    assert (new.run_dir / "arguments.txt").read_bytes() == (old.run_dir / "arguments.txt").read_bytes()
    labels = [[e.label.read_bytes() for e in read_manifest(each.manifest)[1] if e.label] for each in (old, new)]
    assert labels[0] == labels[1] and len(labels[1]) == 4


def test_a_student_that_could_not_be_exported_again_leaves_no_round_behind(
    store: Store, commands: FakeCommands
) -> None:
    run(store, commands)
    before = everything(store)
    commands.export_code = 1
    with pytest.raises(ChildFailedError):
        export_round(store, store.workspace, 1, Monitor(), commands, again=True)
    assert [folder.number for folder in round_folders(store.workspace)] == [1] and everything(store) == before


def test_a_round_is_calibrated_on_gold_before_it_is_exported_and_asks_for_the_workspaces_promise(
    store: Store, commands: FakeCommands
) -> None:
    ask_promise(store, local_actor(), 0.2)
    run(store, commands)
    assert commands.calibrated == [(1, 0.2)] and find_round(store.workspace, 1).calibration.exists()
    assert "not_calibrated" not in (models_by_round(store)[1].gold or {})


def test_gold_images_that_do_not_serve_are_said_and_the_round_goes_on(store: Store, commands: FakeCommands) -> None:
    commands.calibrate_code = 5
    run(store, commands)
    assert (models_by_round(store)[1].gold or {})["not_calibrated"] == "the reason"
    assert not find_round(store.workspace, 1).calibration.exists()


def test_a_calibration_that_breaks_stops_the_round(store: Store, commands: FakeCommands) -> None:
    before = everything(store)
    commands.calibrate_code = 1
    with pytest.raises(ChildFailedError, match="exit code 1: error: the reason"):
        run(store, commands)
    assert everything(store) == before


def test_the_command_calibrates_on_the_gold_split_of_the_rounds_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.round_steps.require_training", lambda: None)
    folder = RoundFolder(tmp_path / "007")
    asked = CalibrationSettings(alpha=0.05)
    command = TrainingCommands().calibrate(folder, asked)
    assert command[1:4] == ["-m", "training", "calibrate"]
    assert command[command.index("--data-root") + 1] == str(folder.manifest)
    assert command[command.index("--split") + 1] == "gold"
    assert command[-3:] == ["--score", "confidence", "--alpha=0.05"]
    combined = TrainingCommands(CalibratedScore.COMBINED).calibrate(folder, asked)
    assert combined[-3:-1] == ["--score", "combined"]
    alone = TrainingCommands().calibrate(folder, CalibrationSettings(alpha=0.05, independent=True))
    assert alone == [*command, "--independent"]


def test_every_score_that_training_can_calibrate_can_be_asked_for() -> None:
    assert set(CalibratedScore) == set(SCORE_NAMES)


# What a round that goes wrong leaves behind: nothing


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        pytest.param("1", "exit code 1: the reason", id="training-fails"),
        pytest.param("2", "^the reason$", id="wrong-flag"),
        pytest.param("3", "NaN or infinite", id="loss-is-nan"),
    ],
)
def test_a_failed_training_changes_nothing(store: Store, commands: FakeCommands, what: str, sentence: str) -> None:
    run(store, commands)
    before = everything(store)
    commands.what = what
    with pytest.raises(ChildFailedError, match=sentence):
        run(store, commands)
    assert everything(store) == before


def test_a_failed_export_changes_nothing(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    before = everything(store)
    commands.export_code = 4
    with pytest.raises(ChildFailedError, match="exit code 4"):
        run(store, commands)
    assert everything(store) == before


def test_a_model_file_that_is_not_ours_changes_nothing(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    before = everything(store)
    commands.quality = "garbage"
    with pytest.raises(ValueError, match="is not a Pixelsieve model"):
        run(store, commands)
    assert everything(store) == before


def test_a_cancelled_round_changes_nothing(
    store: Store, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 5.0)
    run(store, commands)
    before = everything(store)
    interrupt(store, commands)
    assert everything(store) == before


def interrupt(store: Store, commands: FakeCommands) -> None:
    commands.what = "wait"
    commands.started.unlink(missing_ok=True)
    monitor = Monitor(should_cancel=commands.started.exists)
    with pytest.raises(WorkCancelledError):
        start_round(store, store.workspace, RoundRequest(), monitor, commands)
    commands.what = "succeed"


def test_an_interrupted_round_is_continued_from_its_checkpoint(store: Store, commands: FakeCommands) -> None:
    interrupt(store, commands)
    run(store, commands)
    assert [(call["folder"], call["resume"]) for call in commands.calls] == [(1, False), (1, True)]


def test_an_interrupted_round_is_not_continued_when_labels_changed_meanwhile(
    store: Store, commands: FakeCommands
) -> None:
    interrupt(store, commands)
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "b").values(role=ImageRole.GOLD))
    run(store, commands)
    assert [(call["folder"], call["resume"]) for call in commands.calls] == [(1, False), (2, False)]


def test_an_interrupted_round_is_not_continued_with_other_settings(store: Store, commands: FakeCommands) -> None:
    interrupt(store, commands)
    run(store, commands, overrides={"run.steps": "7"})
    assert commands.calls[1]["folder"] == 2


def test_an_interrupted_round_is_not_continued_when_a_new_one_is_asked_for(
    store: Store, commands: FakeCommands
) -> None:
    interrupt(store, commands)
    run(store, commands, again=True)
    assert commands.calls[1]["folder"] == 2


def test_a_diverged_round_is_never_continued(store: Store, commands: FakeCommands) -> None:
    commands.what = "3"
    with pytest.raises(ChildFailedError):
        run(store, commands)
    commands.what = "succeed"
    run(store, commands)
    assert [(call["folder"], call["resume"]) for call in commands.calls] == [(1, False), (2, False)]
    assert [folder.state for folder in round_folders(store.workspace)] == [RoundState.FAILED, RoundState.REGISTERED]


def test_a_round_that_trained_but_was_not_exported_goes_on_with_the_export(
    store: Store, commands: FakeCommands
) -> None:
    train_round(store, store.workspace, RoundRequest(), Monitor(), commands)
    run(store, commands)
    assert len(commands.calls) == 1
    assert models_by_round(store)[1].status is ModelStatus.CURRENT


def test_a_crash_right_after_registering_does_not_register_twice(store: Store, commands: FakeCommands) -> None:
    model_id = run(store, commands)
    find_round(store.workspace, 1).set_state(RoundState.EXPORTED)
    assert export_round(store, store.workspace, 1, Monitor(), commands) == model_id
    assert len(list_models(store)) == 1


def test_a_second_round_at_the_same_time_is_refused(store: Store, commands: FakeCommands) -> None:
    with only_round(store.workspace), pytest.raises(RuntimeError, match="trains or exports in .* already"):
        run(store, commands)


def test_the_training_lock_of_a_killed_process_is_free_again(
    store: Store, commands: FakeCommands, tmp_path: Path
) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from app.config import Workspace; from app.services.round_folder import only_round\n"
        "with only_round(Workspace(pathlib.Path(sys.argv[1]))):\n pathlib.Path(sys.argv[2]).touch(); time.sleep(60)"
    )
    holder = subprocess.Popen(script(code, store.workspace.root, tmp_path / "held"), cwd=Path(__file__).parents[2])
    waiter = threading.Event()
    for _ in range(600):
        if (tmp_path / "held").exists() or waiter.wait(0.05):
            break
    holder.kill()
    holder.wait()
    assert (tmp_path / "held").exists()
    assert run(store, commands) == 1


def test_training_without_labels_says_what_is_missing(tmp_path: Path) -> None:
    store = open_store(Workspace(tmp_path / "empty"), create=True)
    with pytest.raises(ValueError, match="nothing is labeled in .*empty"):
        make_plan(store, store.workspace, RoundRequest())


def test_exporting_before_training_says_what_to_do(store: Store) -> None:
    with pytest.raises(LookupError, match="pixelsieve train -w"):
        export_round(store, store.workspace, None, Monitor())


def test_a_damaged_round_file_is_named(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    (store.workspace.rounds / "001" / "round.json").write_text("{")
    with pytest.raises(ValueError, match=r"round\.json is missing or damaged"):
        run(store, commands)
