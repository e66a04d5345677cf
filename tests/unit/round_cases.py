"""What the tests of rounds share: commands and a predictor that stand for training, export and ONNX Runtime.

The commands are replaced at the process boundary by small scripts that leave the files a real run leaves. The model
file then is one word, and the predictor knows three words.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image as Picture
from sqlalchemy import func, select

from app.config import Workspace
from app.domain.roles import Actor, Role
from app.services.processes import Monitor
from app.services.round_folder import RoundFolder, RoundPlan
from app.services.round_steps import RoundRequest
from app.services.rounds import list_models, start_round
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import Store, open_store
from app.storage.models import Image, Job, Model, Proposal
from app.storage.settings import CalibrationSettings
from datasets.labels import ClassSet
from export.session import Prediction

LEE = Actor("lee", Role.LEAD)
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


CALIBRATE = """
import pathlib, sys
if sys.argv[2] == "0":
    pathlib.Path(sys.argv[1]).touch()
print("error: the reason")
sys.exit(int(sys.argv[2]))
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
    calibrate_code: int = 0
    calibrated: list[tuple[int, float]] = field(default_factory=list)
    calls: list[dict[str, object]] = field(default_factory=list)

    def fit(self, folder: RoundFolder, plan: RoundPlan, init_from: str | None, resume: bool) -> list[str]:
        self.calls.append({"folder": folder.number, "init_from": init_from, "resume": resume, "preset": plan.preset})
        return script(FIT, folder.run_dir, self.what, self.started)

    def calibrate(self, folder: RoundFolder, asked: CalibrationSettings) -> list[str]:
        self.calibrated.append((folder.number, asked.alpha))
        return script(CALIBRATE, folder.calibration, self.calibrate_code)

    def export(self, folder: RoundFolder, check: bool) -> list[str]:
        code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2]); sys.exit(int(sys.argv[3]))"
        return script(code, folder.onnx, self.quality, self.export_code)

    def check(self, folder: RoundFolder) -> list[str]:
        self.calls.append({"checked": folder.number})
        return script("pass")


class FakePredictor:
    """Tells bright from dark pixels: "perfect", or "dark" and "bright" everywhere."""

    device = "cpu"
    metadata = SimpleNamespace(method="csl", calibration=None)
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


def import_pictures(source: Path, root: Path) -> None:
    """Make a workspace at `root` with two labeled images, two gold ones and one in the pool."""
    write_dataset(source, {"train": ["a", "b", "c"], "gold": ["g1", "g2"]})
    (source / "splits" / "few").mkdir(parents=True)
    (source / "splits" / "few" / "labeled.txt").write_text("a\nb\n")
    (source / "splits" / "few" / "unlabeled.txt").write_text("c\n")
    store = open_store(Workspace(root), create=True)
    run_import(store, plan_import(ImportSource(source, "folder", "few")), lambda progress: None)
    store.close()


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
