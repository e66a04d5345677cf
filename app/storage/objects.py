"""Files by their hash, shared by all snapshots: a file that does not change costs its space once, or nothing.

On one disk an object is a second name (a hard link) of the workspace's own file. That is sound for files that are
replaced and never edited; others are copied.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from app.config import Workspace
from datasets.files import publish, sha256_of, write_atomically

_NEVER_EDITED = frozenset({"images", "labels", "proposals"})
_REPLACED_AS_A_WHOLE = frozenset({".onnx", ".safetensors"})
_NO_LINKS = frozenset({errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""A file system without hard links, another disk, or too many names of one file."""


class ObjectStore:
    """The objects of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.snapshots / "objects"
        self._known_file = workspace.snapshots / "hashes.json"

    def path(self, sha256: str) -> Path:
        """Where an object lies, or would lie."""
        return self._folder / sha256[:2] / sha256

    @contextmanager
    def hashing(self) -> Iterator["Hashes"]:
        """Hashes of files, remembered from one snapshot to the next."""
        hashes = Hashes(self._known_file)
        yield hashes
        hashes.remember()

    def keep(self, name: str, path: Path, hashes: "Hashes") -> tuple[str, int]:
        """Keep a file of the workspace; hash and size in bytes of what is kept.

        Args:
            name: its path below the workspace.

        Raises:
            OSError: no room or no permission.
        """
        relative = PurePosixPath(name)
        if relative.parts[0] not in _NEVER_EDITED and relative.suffix not in _REPLACED_AS_A_WHOLE:
            return self._keep_copy(path)
        sha256, size = hashes.of(name, path)
        if not self.path(sha256).exists() and not self._link(path, sha256):
            return self._keep_copy(path)
        return sha256, size

    def put_back(self, sha256: str, path: Path) -> None:
        """Make `path` the file that an object keeps.

        Raises:
            ValueError: the object is missing or damaged.
        """
        source = self.path(sha256)
        if not source.exists() or sha256_of(source) != sha256:
            raise ValueError(f"{source}, which keeps the content of {path}, is missing or damaged")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        try:
            shutil.copyfile(source, temporary)
            publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def remove_all_but(self, wanted: Iterable[str]) -> int:
        """Forget the objects that nothing needs; returns how many."""
        kept, removed = set(wanted), 0
        for path in self._folder.glob("??/*"):
            if path.name not in kept:
                path.unlink()
                removed += 1
        return removed

    def _link(self, path: Path, sha256: str) -> bool:
        """Give a file its second name; False where the file system has none."""
        target = self.path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except FileExistsError:  # Another process was faster.
            return True
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
        return True

    def _keep_copy(self, path: Path) -> tuple[str, int]:
        """A file may grow while it is copied, so the copy is hashed and not the file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{os.getpid()}.tmp"
        try:
            shutil.copyfile(path, temporary)
            sha256, size = sha256_of(temporary), temporary.stat().st_size
            if not self.path(sha256).exists():
                self.path(sha256).parent.mkdir(exist_ok=True)
                publish(temporary, self.path(sha256))
        finally:
            temporary.unlink(missing_ok=True)
        return sha256, size


class Hashes:
    """SHA-256 of files; one that has the size and time of change of the last look is not read again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._known: dict[str, list[object]] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # Missing or damaged: everything is read again.
            self._known = {}
        self._seen: dict[str, list[object]] = {}

    def of(self, name: str, path: Path) -> tuple[str, int]:
        """Hash and size in bytes."""
        status = path.stat()
        stamp: list[object] = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(name)
        sha256 = str(known[3]) if known is not None and known[:3] == stamp else sha256_of(path)
        self._seen[name] = [*stamp, sha256]
        return sha256, status.st_size

    def remember(self) -> None:
        """For the next snapshot."""
        write_atomically(self._file, json.dumps(self._seen).encode())
