"""Where a workspace keeps its files, and how the web server listens."""

from dataclasses import dataclass
from pathlib import Path

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def is_loopback(host: str) -> bool:
    """Whether a name or address to listen on means this machine only."""
    return host.strip("[]").lower() in LOOPBACK_NAMES


def require_loopback(host: str) -> None:
    """Refuse to listen where others can reach us. Lies here because it is asked before anything slow is loaded.

    Raises:
        ValueError: `host` is not loopback; says how to reach the app from another machine.
    """
    if not is_loopback(host):
        raise ValueError(
            f"refusing to listen on {host}: Pixelsieve has no accounts yet, so everybody on the network could change "
            "labels. Use 127.0.0.1, and an SSH tunnel to reach it from another machine: ssh -L 7860:127.0.0.1:7860 HOST"
        )


@dataclass(frozen=True)
class Workspace:
    """One folder that holds everything about one labelling project. Copying the folder copies the project."""

    root: Path

    @property
    def database(self) -> Path:
        """The store: images, proposals, regions, decisions, models and jobs."""
        return self.root / "pixelsieve.db"

    @property
    def database_note(self) -> Path:
        """Where the rows are when they are in PostgreSQL instead of `database`; see app/storage/location.py."""
        return self.root / "database.json"

    @property
    def job_queue(self) -> Path:
        """Huey's own SQLite file; holds only jobs that wait, so it may be deleted while nothing runs."""
        return self.root / "jobs.db"

    @property
    def images(self) -> Path:
        """Imported image files, byte for byte, named by their SHA-256."""
        return self.root / "images"

    @property
    def labels(self) -> Path:
        """Imported labels (8-bit gray PNG), named by their image's SHA-256. Decisions live in the store, not here."""
        return self.root / "labels"

    @property
    def proposals(self) -> Path:
        """Maps that a model predicted, one folder per model."""
        return self.root / "proposals"

    @property
    def superpixels(self) -> Path:
        """Superpixels that somebody drew with. They can be worked out again, so this may be deleted at any time."""
        return self.root / "cache" / "superpixels"

    @property
    def rounds(self) -> Path:
        """One folder per training round: manifest, frozen labels, run folder, student.onnx."""
        return self.root / "rounds"

    @property
    def exports(self) -> Path:
        """COCO exports made from the export page."""
        return self.root / "exports"

    @property
    def logs(self) -> Path:
        """Output of background jobs, one file per job."""
        return self.root / "logs"

    def relative(self, path: Path) -> str:
        """How `path` is written into the store: relative, so that a moved workspace still works."""
        return path.resolve().relative_to(self.root.resolve()).as_posix()

    def absolute(self, stored: str) -> Path:
        """The file behind a stored relative path."""
        return self.root / stored
