"""Rounds: what becomes visible, when, and that everything that goes wrong changes nothing.

Training and export are replaced at the process boundary by small scripts that leave the files a real run leaves. The
model file then is one word, and a predictor that knows three words stands for ONNX Runtime.
"""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import func, select, update

from app.config import Workspace
from app.domain.states import ImageRole, ModelStatus
from app.services import gold as gold_module
from app.services import processes
from app.services.processes import ChildFailedError, Monitor, WorkCancelledError
from app.services.round_folder import RoundFolder, RoundPlan, RoundState, find_round, only_round, round_folders
from app.services.round_steps import RoundRequest, TrainingCommands, export_round, make_plan, train_round
from app.services.rounds import PromotionRefusedError, compare, list_models, promote, reject, start_round
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import Store, open_store
from app.storage.models import Image, Job, Model, Proposal
from datasets.formats.manifest import read_manifest
from datasets.labels import ClassSet
from export.session import Prediction

CLASSES = ClassSet.from_names(["dark", "bright"])

FIT = """
import pathlib, sys, time
run_dir, what, started, *rest = sys.argv[1:]
run = pathlib.Path(run_dir)
(run / "checkpoint").mkdir(parents=True, exist_ok=True)
(run / "arguments.txt").open("a").write(" ".join(rest) + "\\n")
pathlib.Path(started).touch()
if what == "wait":
    time.sleep(60)
if what.isdigit():
    print("the reason")
    sys.exit(int(what))
"""


def script(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


@dataclass
class FakeCommands:
    """`what`: succeed, wait, or an exit code of the training. `quality`: the model file's word."""

    started: Path
    what: str = "succeed"
    quality: str = "perfect"
    export_code: int = 0
    calls: list[dict[str, object]] = field(default_factory=list)

    def fit(self, folder: RoundFolder, plan: RoundPlan, init_from: str | None, resume: bool) -> list[str]:
        self.calls.append({"folder": folder.number, "init_from": init_from, "resume": resume, "preset": plan.preset})
        return script(FIT, folder.run_dir, self.what, self.started)

    def export(self, folder: RoundFolder, check: bool) -> list[str]:
        code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2]); sys.exit(int(sys.argv[3]))"
        return script(code, folder.onnx, self.quality, self.export_code)

    def check(self, folder: RoundFolder) -> list[str]:
        self.calls.append({"checked": folder.number})
        return script("pass")


class FakePredictor:
    """Tells bright from dark pixels: "perfect", or "dark" and "bright" everywhere."""

    device = "cpu"
    metadata = SimpleNamespace(method="csl")
    class_set = CLASSES

    def __init__(self, path: Path) -> None:
        self._quality = path.read_text()
        if self._quality not in ("perfect", "dark", "bright"):
            raise ValueError(f"{path} is not a Pixelsieve model")

    def predict(self, image: np.ndarray) -> Prediction:
        bright = image[..., 0] > 127
        constant = np.full(bright.shape, self._quality == "bright")
        label = (bright if self._quality == "perfect" else constant).astype(np.uint8)
        flat = np.full(bright.shape, 0.9, np.float32)
        probabilities = np.stack([np.where(label == 0, 0.9, 0.1), np.where(label == 1, 0.9, 0.1)]).astype(np.float32)
        return Prediction(label, flat, flat, flat, np.ones_like(flat), np.ones(bright.shape, bool), probabilities)


def write_dataset(root: Path, names: dict[str, list[str]]) -> None:
    """Pictures whose left half is dark and right half bright, with noise that makes each file unique."""
    rng = np.random.default_rng(0)
    for split, stems in names.items():
        for stem in stems:
            label = np.zeros((16, 24), np.uint8)
            label[:, 12:] = 1
            image = (label[..., None] * 180 + rng.integers(0, 60, (16, 24, 3))).astype(np.uint8)
            for kind, array in (("images", image), ("masks", label)):
                path = root / kind / split / f"{stem}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Picture.fromarray(array).save(path)
    (root / "classes.json").write_text(json.dumps(CLASSES.to_json()))


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two labeled images, two gold ones and one in the pool; copied for each test."""
    source = tmp_path_factory.mktemp("source")
    write_dataset(source, {"train": ["a", "b", "c"], "gold": ["g1", "g2"]})
    (source / "splits" / "few").mkdir(parents=True)
    (source / "splits" / "few" / "labeled.txt").write_text("a\nb\n")
    (source / "splits" / "few" / "unlabeled.txt").write_text("c\n")
    root = tmp_path_factory.mktemp("imported") / "workspace"
    store = open_store(Workspace(root), create=True)
    run_import(store, plan_import(ImportSource(source, "folder", "few")), lambda progress: None)
    store.close()
    return root


@pytest.fixture
def store(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(gold_module, "load_predictor", FakePredictor)
    store = open_store(Workspace(Path(shutil.copytree(imported, tmp_path / "workspace"))))
    yield store
    store.close()


@pytest.fixture
def commands(tmp_path: Path) -> FakeCommands:
    return FakeCommands(tmp_path / "started")


def run(store: Store, commands: FakeCommands, **request: object) -> int:
    return start_round(store, store.workspace, RoundRequest(**request), Monitor(), commands)  # type: ignore[arg-type]


def everything(store: Store) -> list[object]:
    """What a failed round must leave as it was."""
    with store.reader() as session:
        models = [(m.id, m.status, m.onnx_sha256, m.gold, m.note) for m in session.scalars(select(Model))]
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (Image, Proposal, Job)]
    return [models, counts]


def models_by_round(store: Store) -> dict[int, Model]:
    return {model.round: model for model in list_models(store)}


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


# What a round that goes wrong leaves behind: product.md, what must never happen, number 8


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


# Promotion


@pytest.fixture
def with_worse_candidate(store: Store, commands: FakeCommands) -> Store:
    run(store, commands)
    commands.quality = "dark"
    run(store, commands)
    return store


def test_a_worse_candidate_is_refused_and_nothing_changes(with_worse_candidate: Store) -> None:
    before = everything(with_worse_candidate)
    with pytest.raises(PromotionRefusedError, match="mIoU falls by 75.0%"):
        promote(with_worse_candidate, 2)
    assert everything(with_worse_candidate) == before


def test_a_blank_reason_is_no_reason(with_worse_candidate: Store) -> None:
    with pytest.raises(PromotionRefusedError):
        promote(with_worse_candidate, 2, "  ")


def test_a_worse_candidate_is_promoted_with_a_reason_that_is_kept(with_worse_candidate: Store) -> None:
    promote(with_worse_candidate, 2, "the camera changed")
    found = models_by_round(with_worse_candidate)
    assert (found[2].status, found[2].note) == (ModelStatus.CURRENT, "the camera changed")
    assert found[1].status is ModelStatus.RETIRED


def test_a_better_candidate_is_promoted_without_a_reason(store: Store, commands: FakeCommands) -> None:
    commands.quality = "dark"
    run(store, commands)
    commands.quality = "perfect"
    run(store, commands)
    promote(store, 2)
    assert models_by_round(store)[2].status is ModelStatus.CURRENT


def test_an_earlier_model_can_be_promoted_again(with_worse_candidate: Store) -> None:
    promote(with_worse_candidate, 2, "a try")
    promote(with_worse_candidate, 1)
    found = {number: model.status for number, model in models_by_round(with_worse_candidate).items()}
    assert found == {1: ModelStatus.CURRENT, 2: ModelStatus.RETIRED}


def test_a_rejected_candidate_is_set_aside(with_worse_candidate: Store) -> None:
    reject(with_worse_candidate, 2)
    assert models_by_round(with_worse_candidate)[2].status is ModelStatus.REJECTED


def test_the_current_model_cannot_be_rejected(with_worse_candidate: Store) -> None:
    with pytest.raises(ValueError, match="only a candidate can be rejected"):
        reject(with_worse_candidate, 1)


def test_a_model_file_that_was_changed_is_not_promoted(with_worse_candidate: Store) -> None:
    find_round(with_worse_candidate.workspace, 2).onnx.write_text("perfect")
    with pytest.raises(ValueError, match="was changed after it was registered"):
        promote(with_worse_candidate, 2, "a reason")


def test_a_model_file_that_is_missing_is_not_promoted(with_worse_candidate: Store) -> None:
    find_round(with_worse_candidate.workspace, 2).onnx.unlink()
    with pytest.raises(ValueError, match="is missing"):
        promote(with_worse_candidate, 2, "a reason")


def test_the_current_model_is_measured_again_when_gold_images_changed(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "b").values(role=ImageRole.GOLD))
    run(store, commands)
    found = models_by_round(store)
    assert [found[number].gold["num_images"] for number in (1, 2)] == [3, 3]
    assert compare(store, 2).verdict == "promote"


def test_without_gold_images_a_candidate_needs_a_reason(store: Store, commands: FakeCommands) -> None:
    with store.session() as session:
        session.execute(update(Image).where(Image.role == ImageRole.GOLD).values(deleted_at=func.now()))
    run(store, commands)
    run(store, commands)
    with pytest.raises(PromotionRefusedError, match="There are no gold images"):
        promote(store, 2)


def test_an_unknown_model_is_a_lookup_error(store: Store) -> None:
    with pytest.raises(LookupError, match="there is no model 9"):
        promote(store, 9)
