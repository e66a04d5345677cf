"""The folder of one training round: its plan, how far it is, and where its files lie."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from app.config import Workspace
from datasets.files import write_atomically


class RoundState(StrEnum):
    """How far a round is. Each step starts where the last one ended, so an interrupted round can be continued."""

    TRAINING = "training"
    TRAINED = "trained"
    EXPORTED = "exported"
    REGISTERED = "registered"
    FAILED = "failed"


@dataclass(frozen=True)
class RoundPlan:
    """Everything that decides what a round trains on and how.

    Attributes:
        preset: of `python -m training`.
        overrides: config key -> value, as given to `--set`.
        init_from: run folder whose weights the student starts with, relative to the workspace; None is from scratch.
        use_pseudo_labels: whether reliable pixels of the current proposals are trained on, by their weight.
        labels_version: fingerprint of images, decisions and proposals that the frozen labels come from.
    """

    preset: str
    overrides: dict[str, str]
    init_from: str | None
    use_pseudo_labels: bool
    labels_version: str


class RoundFolder:
    """rounds/NNN of a workspace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def number(self) -> int:
        """The round's number, from 1."""
        return int(self.path.name)

    @property
    def manifest(self) -> Path:
        """The data set of this round; its frozen label files lie beside it."""
        return self.path / "manifest.json"

    @property
    def run_dir(self) -> Path:
        """The run folder of `python -m training fit`."""
        return self.path / "run"

    @property
    def onnx(self) -> Path:
        """The exported student."""
        return self.path / "student.onnx"

    @property
    def calibration(self) -> Path:
        """What calibrating the run found, if it could be calibrated."""
        return self.run_dir / "calibration.json"

    @property
    def not_calibrated(self) -> str | None:
        """Why it could not."""
        path = self.path / "not_calibrated.txt"
        return path.read_text(encoding="utf-8") if path.is_file() else None

    @not_calibrated.setter
    def not_calibrated(self, reason: str | None) -> None:
        path = self.path / "not_calibrated.txt"
        if reason is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, reason.encode())

    @property
    def progress_file(self) -> Path:
        """Where the child at work says how far it is."""
        return self.path / "progress.json"

    @property
    def log(self) -> Path:
        """Output of training and export when they run from a terminal."""
        return self.path / "round.log"

    @property
    def plan(self) -> RoundPlan:
        """What this round was started with.

        Raises:
            ValueError: round.json is missing or damaged; names it.
        """
        return RoundPlan(**self._read()["plan"])

    @property
    def state(self) -> RoundState:
        """How far this round is.

        Raises:
            ValueError: round.json is missing or damaged; names it.
        """
        return RoundState(self._read()["state"])

    @property
    def has_checkpoint(self) -> bool:
        """Whether an interrupted training can be continued."""
        return (self.run_dir / "checkpoint").is_dir()

    def set_state(self, state: RoundState) -> None:
        """Record that a step is finished."""
        self.write(self.plan, state)

    def write(self, plan: RoundPlan, state: RoundState) -> None:
        """Record plan and state, as a whole."""
        content = {"plan": asdict(plan), "state": state.value}
        write_atomically(self._file, json.dumps(content, indent=2).encode())

    @property
    def _file(self) -> Path:
        return self.path / "round.json"

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            RoundPlan(**content["plan"])
            RoundState(content["state"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{self._file} is missing or damaged ({error}); remove {self.path} if no model uses it"
            ) from error
        return content


def round_folders(workspace: Workspace) -> list[RoundFolder]:
    """All rounds with a readable plan, oldest first."""
    if not workspace.rounds.is_dir():
        return []
    folders = [RoundFolder(path) for path in workspace.rounds.iterdir() if path.name.isdigit() and path.is_dir()]
    readable = [folder for folder in folders if (folder.path / "round.json").is_file()]
    return sorted(readable, key=lambda folder: folder.number)


def find_round(workspace: Workspace, number: int | None) -> RoundFolder:
    """The round with this number; None is the latest one that finished training.

    Raises:
        LookupError: there is none; says which there are.
    """
    folders = round_folders(workspace)
    if number is None:
        folders = [folder for folder in folders if folder.state not in (RoundState.TRAINING, RoundState.FAILED)]
        if not folders:
            raise LookupError(
                f"no trained round in {workspace.root}; train one with: pixelsieve train -w {workspace.root}"
            )
        return folders[-1]
    for folder in folders:
        if folder.number == number:
            return folder
    known = ", ".join(str(folder.number) for folder in folders) or "none"
    raise LookupError(f"there is no round {number} in {workspace.root}; rounds: {known}")


def unfinished_round(workspace: Workspace, plan: RoundPlan) -> RoundFolder | None:
    """The latest round, if it has exactly this plan and was interrupted before its model was registered."""
    folders = round_folders(workspace)
    if not folders or folders[-1].plan != plan:
        return None
    return folders[-1] if folders[-1].state not in (RoundState.REGISTERED, RoundState.FAILED) else None


def new_round(workspace: Workspace, number: int) -> RoundFolder:
    """An empty folder for round `number`; leftovers of a preparation that never finished are removed."""
    folder = RoundFolder(workspace.rounds / f"{number:03d}")
    if folder.path.exists():
        shutil.rmtree(folder.path)
    folder.path.mkdir(parents=True)
    return folder


def unfinished_folders(workspace: Workspace) -> frozenset[Path]:
    """Folders below rounds/ that a process is filling now: their files are not whole. Empty when none is at work."""
    path = _lock_path(workspace)
    if not path.exists():
        return frozenset()
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return frozenset()
        except BlockingIOError:
            registered = {folder.path for folder in round_folders(workspace) if folder.state is RoundState.REGISTERED}
    return frozenset(path for path in workspace.rounds.iterdir() if path.is_dir()) - registered


@contextmanager
def only_round(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace's training lock; the system releases it however the process ends.

    Raises:
        RuntimeError: another process trains here already; names it.
    """
    workspace.rounds.mkdir(parents=True, exist_ok=True)
    with _lock_path(workspace).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise RuntimeError(
                f"process {file.read().strip() or '?'} trains or exports in {workspace.root} already. "
                "Wait for it, or cancel its job, and try again."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock_path(workspace: Workspace) -> Path:
    return workspace.rounds / "training.lock"
