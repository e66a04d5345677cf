"""One cell of the loop: a real workspace, its own rounds, a simulated annotator in it. Continued where it stopped."""

import dataclasses
import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from app.config import Workspace
from app.domain.simulated_people import PEOPLE
from app.domain.states import ImageRole
from app.services.labels import label_state
from app.services.local_actor import command_line_actor
from app.services.model_changes import promote
from app.services.predicting import predict_pool
from app.services.processes import Monitor
from app.services.round_folder import find_round
from app.services.round_steps import RoundRequest
from app.services.rounds import current_of, list_models, start_round
from app.services.simulating import Arm, Truth, simulate
from app.services.simulation_effort import Budget
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import Store, open_store
from app.storage.models import Image
from app.storage.trust_settings import TrustSettings, write_trust_settings
from benchmarks.loop_cells import FULL, Cell, Preset, cell_config, config_hash
from benchmarks.matrix_run import measure_on_test
from benchmarks.side_by_side import describe_machine
from datasets.files import write_atomically
from datasets.images import encode_plane_png
from datasets.labels import Provenance
from datasets.lookup import build_dataset
from training.checkpoint import load_student
from training.environment import resolve_device
from training.records import write_json

_EVERY = 5
"""Decisions between two points of a curve."""
_REASON = "every arm of the loop goes on with its latest model, so that all have trained for the same steps"

Measure = Callable[[Path], dict[str, Any]]
"""A run folder -> `miou` and `iou_per_class` on the test frames."""


@dataclass(frozen=True)
class Places:
    """Where a cell finds and leaves things.

    Attributes:
        data_root: the data set, of format `data_format`.
        work: workspaces and true masks, outside the repository.
        out: result files.
    """

    data_root: Path
    work: Path
    out: Path
    data_format: str = "camvid"

    def result(self, cell: Cell) -> Path:
        """Where the cell's JSON goes."""
        return self.out / f"{cell.name}.json"

    def folder(self, name: str) -> Path:
        """Of a cell, or of a first round that cells share."""
        return self.work / name


def test_of(places: Places) -> Measure:
    """Measures the last checkpoint of a run on whole test frames."""

    def measure(run_dir: Path) -> dict[str, Any]:
        found = measure_on_test(load_student(run_dir)[1], run_dir, places.data_root)
        return {name: found[name] for name in ("miou", "iou_per_class", "images")}

    return measure


def run_cell(cell: Cell, preset: Preset, places: Places, measure: Measure, monitor: Monitor) -> dict[str, Any]:
    """Run or continue a cell, write its result and return it.

    Raises:
        WorkCancelledError: stopped on request; a later call continues.
        ValueError: what is in the work folder was made with another configuration, or another process is at it.
    """
    with _alone(places.folder(f"{cell.first_round}.lock")):
        start = _first_round(cell, preset, places, measure, monitor)
    with _alone(places.folder(f"{cell.name}.lock")):
        return _go_on(start, cell, preset, places, measure, monitor)


def _go_on(
    start: Path, cell: Cell, preset: Preset, places: Places, measure: Measure, monitor: Monitor
) -> dict[str, Any]:
    folder = places.folder(cell.name)
    if not (folder / "cell.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)
    state = _State(folder, cell_config(preset, cell))
    truth = _write_truth(places)
    for number in range(1, preset.rounds + 1):
        if number == len(state.rounds):
            with closing(open_store(Workspace(folder / "workspace"))) as store:
                effort = {} if cell.arm == FULL else _correct(store, truth, cell, preset, state, number, monitor)
            with closing(open_store(Workspace(folder / "workspace"))) as store:
                trained = _train(store, preset, cell, number, measure, monitor)
                if cell.arm != FULL and number < preset.rounds:
                    predict_pool(store, store.workspace, None, monitor.progress, monitor.should_cancel)
            state.add({"round": number, **trained, **effort})
    result = {
        **state.content, "config_sha256": config_hash(state.content["config"]), "machine": describe_machine(),
    }  # fmt: skip
    write_json(places.result(cell), result)
    return result


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock file; the system releases it however the process ends.

    Raises:
        ValueError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process works on {path.stem} already; wait for it, or stop it") from None
        yield


class _State:
    """The finished rounds of a cell, on disk."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self._path = folder, folder / "cell.json"
        if self._path.is_file():
            self.content: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            if self.content["config"] != config:
                raise ValueError(f"{folder} was begun with other settings; remove it, or give another --work")
        else:
            first = json.loads((folder / "start.json").read_text(encoding="utf-8"))
            self.content = {"config": config, **first}
            self.save()

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """One per finished round, the first training included."""
        return self.content["rounds"]  # type: ignore[no-any-return]

    def add(self, finished: dict[str, Any]) -> None:
        self.rounds.append(finished)
        self.save()

    def save(self) -> None:
        write_json(self._path, self.content)


def _first_round(cell: Cell, preset: Preset, places: Places, measure: Measure, monitor: Monitor) -> Path:
    """The folder with a workspace after import, first training and prediction."""
    folder = places.folder(cell.first_round)
    config = cell_config(preset, dataclasses.replace(cell, arm=FULL if cell.arm == FULL else "start", person=None))
    if (folder / "start.json").is_file():
        if json.loads((folder / "start.json").read_text(encoding="utf-8"))["start_config"] != config:
            raise ValueError(f"{folder} was begun with other settings; remove it, or give another --work")
        return folder
    place = Workspace(folder / "workspace")
    if not (folder / "imported").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        _import(place, cell, preset, places)
        (folder / "imported").touch()
    with closing(open_store(place)) as store:
        trained = _train(store, preset, cell, 0, measure, monitor)
        if cell.arm != FULL:
            predict_pool(store, place, None, monitor.progress, monitor.should_cancel)
        images, pixels = _sizes(store)
    write_json(
        folder / "start.json",
        {"start_config": config, "images": images, "pixels": pixels, "rounds": [{"round": 0, **trained}]},
    )
    return folder


def _import(place: Workspace, cell: Cell, preset: Preset, places: Places) -> None:
    plan = plan_import(ImportSource(places.data_root, places.data_format, cell.split, preset.gold_share, cell.seed))
    if cell.arm == FULL:
        known = set(plan.held_out)
        plan = dataclasses.replace(plan, labeled=tuple(name for name in plan.dataset.sample_ids if name not in known))
    with closing(open_store(place, create=True)) as store:
        with store.session() as session:  # Probes would cost every arm the same.
            write_trust_settings(session, TrustSettings(audit_share=0, planted_share=0, control_share=0))
        run_import(store, plan, lambda _: None)


def _sizes(store: Store) -> tuple[dict[str, int], dict[str, int]]:
    """Images and pixels by role."""
    images, pixels = dict.fromkeys(map(str, ImageRole), 0), dict.fromkeys(map(str, ImageRole), 0)
    with store.reader() as session:
        for image in session.scalars(select(Image).where(Image.deleted_at.is_(None))):
            images[str(image.role)] += 1
            pixels[str(image.role)] += image.height * image.width
    return images, pixels


def _write_truth(places: Places) -> Path:
    """True masks of the training frames, named like the images."""
    folder = places.work / "truth"
    if not folder.is_dir():
        unfinished = places.work / "truth.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        dataset = build_dataset(places.data_format, places.data_root, "train")
        for index, sample_id in enumerate(dataset.sample_ids):
            label = dataset[index].label
            assert label is not None, "all of CamVid is labeled"
            write_atomically(unfinished / f"{sample_id}.png", encode_plane_png(label))
        unfinished.rename(folder)
    return folder


def _correct(
    store: Store, masks: Path, cell: Cell, preset: Preset, state: _State, number: int, monitor: Monitor
) -> dict[str, Any]:
    """Let the annotator work in the workspace; a round that was cut short begins again from the copy made before it."""
    done = state.folder / f"corrected_{number}.json"
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return found
    place, before = store.workspace.root, state.folder / f"before_{number}"
    store.close()
    if before.is_dir():
        shutil.rmtree(place)
        shutil.copytree(before, place)
    else:
        unfinished = state.folder / "copying"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(place, unfinished)
        unfinished.rename(before)
    with closing(open_store(Workspace(place))) as opened:
        found = _work(opened, masks, cell, preset, state, number, monitor)
    write_json(done, found)
    shutil.rmtree(before)
    return found


def _work(
    store: Store, masks: Path, cell: Cell, preset: Preset, state: _State, number: int, monitor: Monitor
) -> dict[str, Any]:
    truth = Truth(store, masks)
    shown = _read_shown(state.folder, number - 1)
    spent = sum(_inputs(done["curve"][-1]) for done in state.rounds if "curve" in done)
    budget = round(preset.inputs_per_image * len(truth.image_ids)) * number - spent
    assert cell.person is not None, "only full supervision has nobody, and corrects nothing"
    made = simulate(
        store, truth, Arm(cell.arm), PEOPLE[cell.person], 1000 * cell.seed + number, Budget(inputs=max(0, budget)),
        _EVERY, monitor, shown,
    )  # fmt: skip
    planes: dict[str, Any] = {str(key): mask for key, mask in shown.items()}
    np.savez_compressed(state.folder / f"shown_{number}.npz", **planes)
    return {
        "budget_inputs": budget, "curve": made.curve, "unseen": made.unseen, "label_miou": made.curve[-1]["label_miou"],
        "pixels_by_people": _pixels_by_people(store),
    }  # fmt: skip


def _read_shown(folder: Path, number: int) -> dict[int, NDArray[np.bool_]]:
    if number == 0:
        return {}
    with np.load(folder / f"shown_{number}.npz") as stored:
        return {int(key): stored[key] for key in stored.files}


def _inputs(row: dict[str, Any]) -> int:
    return int(row["clicks"] + row["keys"])


def _pixels_by_people(store: Store) -> int:
    """Pixels of the pool whose label a person decided."""
    total = 0
    with store.reader() as session:
        is_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)
        for image in session.scalars(select(Image).where(is_pool)):
            found = label_state(store, session, image)
            total += 0 if found is None else int(np.count_nonzero(found.provenance == Provenance.HUMAN))
    return total


def _train(store: Store, preset: Preset, cell: Cell, number: int, measure: Measure, monitor: Monitor) -> dict[str, Any]:
    """The product's own round, made the current model whatever gold says, and measured on test."""
    steps = preset.steps(number)
    overrides = {**preset.overrides, "run.steps": str(steps), "run.seed": str(1000 * cell.seed + number)}
    started = time.monotonic()
    if not any(model.round == number + 1 for model in list_models(store)):
        request = RoundRequest(preset.first_preset if number == 0 else preset.next_preset, overrides)
        start_round(store, store.workspace, request, monitor)
    seconds = time.monotonic() - started
    model = next(model for model in list_models(store) if model.round == number + 1)
    current = current_of(list_models(store))
    if current is None or current.id != model.id:
        promote(store, model.id, command_line_actor(), _REASON)
    folder = find_round(store.workspace, number + 1)
    trained = load_student(folder.run_dir)[1]
    gold = model.gold or {}
    return {
        "steps": steps, "round_seconds": round(seconds, 1), "device": str(resolve_device(trained.run.device)),
        "test": measure(folder.run_dir), "gold_miou": gold.get("miou"),
        "calibration": gold.get("calibration"), "not_calibrated": gold.get("not_calibrated"),
    }  # fmt: skip
