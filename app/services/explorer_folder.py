"""What FiftyOne is shown from a workspace, as files: masks in its counting, numbers that take long to find, links."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from app.config import Workspace
from app.domain.explorer import shown_ids
from datasets.files import write_atomically
from datasets.images import encode_plane_png
from datasets.labels import LabelArray

DIGITS = 6
"""Numbers are rounded to this many digits, so that a second look finds no difference that is none."""

_LINKS_FILE = "links.json"

REVIEWER_URL = "http://127.0.0.1:7860"
EXPLORER_URL = "http://127.0.0.1:5151"


class ExplorerLinks(BaseModel):
    """How a workspace and its data set in FiftyOne find each other; what a sync was told, and what it found.

    Attributes:
        dataset: name of the data set.
        reviewer_url: where people open our pages, without a slash at the end.
        explorer_url: where people open FiftyOne, without a slash at the end.
        samples: hash of an image -> FiftyOne's id of its sample.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    dataset: str
    reviewer_url: str = REVIEWER_URL
    explorer_url: str = EXPLORER_URL
    samples: Mapping[str, str] = {}

    @property
    def page(self) -> str:
        """Where people open the data set."""
        return f"{self.explorer_url}/datasets/{self.dataset}"

    def address(self, key: str) -> str | None:
        """Where FiftyOne shows an image; None when it has no sample yet."""
        sample = self.samples.get(key)
        return None if sample is None else f"{self.page}?id={sample}"


class ExplorerFolder:
    """The folder `explore` of a workspace. Files in it never change; deleting all of it costs time and nothing else."""

    def __init__(self, workspace: Workspace) -> None:
        self._root = workspace.explorer.resolve()
        self.pictures = self._root / "pictures"
        self._masks = self._root / "masks"
        self._numbers_file = self._root / "numbers.json"
        self._numbers: dict[str, float] = self._read_numbers()
        self._used_numbers: set[str] = set()
        self._used_masks: set[Path] = set()

    def mask(self, name: str, read: Callable[[], LabelArray]) -> str:
        """Path of a mask as FiftyOne counts; `read` is called when there is none under this name."""
        path = self._masks / f"{name}.png"
        if not path.is_file():
            write_atomically(path, encode_plane_png(shown_ids(read())))
        self._used_masks.add(path)
        return str(path)

    def number(self, key: str, find: Callable[[], float]) -> float:
        """A number that belongs to something that never changes, found once."""
        self._used_numbers.add(key)
        if key not in self._numbers:
            self._numbers[key] = round(find(), DIGITS)
        return self._numbers[key]

    def save_numbers(self) -> None:
        """Keep every number that was found, so that an interrupted look goes on where it stopped."""
        write_atomically(self._numbers_file, json.dumps(self._numbers, sort_keys=True).encode())

    def forget_others(self) -> None:
        """Remove the masks and numbers that this look did not ask for."""
        self._numbers = {key: value for key, value in self._numbers.items() if key in self._used_numbers}
        self.save_numbers()
        for path in self._masks.glob("*.png"):
            if path not in self._used_masks:
                path.unlink(missing_ok=True)

    def _read_numbers(self) -> dict[str, float]:
        try:
            content: dict[str, float] = json.loads(self._numbers_file.read_text(encoding="utf-8"))
            return content
        except (OSError, ValueError):
            return {}


def read_links(workspace: Workspace) -> ExplorerLinks | None:
    """What the last sync left; None before the first."""
    try:
        return ExplorerLinks.model_validate_json((workspace.explorer / _LINKS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_links(workspace: Workspace, links: ExplorerLinks) -> None:
    """Keep them for the reviewer and the next sync."""
    write_atomically(workspace.explorer / _LINKS_FILE, links.model_dump_json().encode())


def remove_shown_files(workspace: Workspace, sha256: str) -> None:
    """Remove what FiftyOne was shown of one image."""
    for path in workspace.explorer.glob(f"*/{sha256[:16]}*"):
        path.unlink(missing_ok=True)
