"""A backup as one file: a zip with the rows as text, the files as they are, and a manifest with the hash of everything.

Archives come from outside, so reading one trusts nothing: not its names, not its sizes, not its hashes.
"""

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import ValidationError

from app.domain.archive_paths import unsafe_because
from app.services.processes import Monitor
from app.services.saved_content import Manifest
from app.storage.kept_files import is_kept
from datasets.progress import Progress

MANIFEST = "manifest.json"
ROWS, FILES = "rows/", "files/"
MAX_MANIFEST_BYTES = 256 * 2**20
MAX_ENTRIES = 4_000_000
MAX_LINE_BYTES = 256 * 2**20
"""The longest row: a drawing over a whole 64-megapixel image stays far below."""
MAX_RATIO = 200
"""Most bytes that one byte of the archive may become. Rows shrink about tenfold, pictures not at all."""
CHUNK_BYTES = 2**20

_UNREADABLE = (KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)
"""What reading a hostile zip raises: missing, damaged, cut off, encrypted, of an unknown method."""


class BadArchiveError(ValueError):
    """The file is no backup that can be restored; the message says why. Nothing was written."""


class BackupArchive:
    """An archive that is open for reading and whose names, sizes and manifest make sense."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._archive = archive

    def lines(self, table: str) -> Iterator[bytes]:
        """The rows of a table.

        Raises:
            BadArchiveError: damaged, or a line is longer than any row can be.
        """
        with self._reading(f"{ROWS}{table}.jsonl") as entry:
            while line := entry.readline(MAX_LINE_BYTES):
                if len(line) == MAX_LINE_BYTES:
                    raise BadArchiveError(f"{self.path} holds a row of table {table} that is too long to be one")
                yield line

    def chunks(self, file: str) -> Iterator[bytes]:
        """The content of a file.

        Raises:
            BadArchiveError: damaged.
        """
        with self._reading(FILES + file) as entry:
            while chunk := entry.read(CHUNK_BYTES):
                yield chunk

    def verify(self, monitor: Monitor) -> None:
        """Compare all content with the manifest's hashes.

        Raises:
            BadArchiveError: names the first part that differs.
            WorkCancelledError: stopped on request.
        """
        for table, saved in self.manifest.tables.items():
            digest, rows = hashlib.sha256(), 0
            for line in self.lines(table):
                digest.update(line)
                rows += 1
            self._compare(f"table {table}", (digest.hexdigest(), rows), (saved.sha256, saved.rows))
        total, done = self.manifest.num_bytes, 0
        for name, file in self.manifest.files.items():
            monitor.stoppable_progress(Progress(done, max(total, 1), name))
            digest = hashlib.sha256()
            for chunk in self.chunks(name):
                digest.update(chunk)
                done += len(chunk)
            self._compare(name, digest.hexdigest(), file.sha256)

    def _compare(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            raise BadArchiveError(f"{self.path} is damaged: {what} is not what was saved. Use another backup.")

    @contextmanager
    def _reading(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._archive.open(name) as entry:
                yield entry
        except _UNREADABLE as error:
            raise BadArchiveError(
                f"{self.path} is damaged: {name} cannot be read ({error}). Use another backup."
            ) from error


@contextmanager
def open_archive(path: Path) -> Iterator[BackupArchive]:
    """Open an archive and check everything but its content.

    Raises:
        BadArchiveError: no archive of ours, of a later version, with names that leave their folder, or a bomb.
        FileNotFoundError: nothing there.
    """
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except _UNREADABLE as error:
            raise BadArchiveError(f"{path} is no backup, or was cut off ({error}). Use another file.") from error
        with archive:
            entries = archive.infolist()
            _check_entries(path, entries)
            manifest = _read_manifest(path, archive)
            _check_agreement(path, entries, manifest)
            yield BackupArchive(path, archive, manifest)


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Names, kinds and sizes, as the archive claims them. Python's zipfile never gives more bytes than claimed."""
    if len(entries) > MAX_ENTRIES:
        raise BadArchiveError(f"{path} holds {len(entries)} entries, more than any workspace has; nothing was written")
    names = {entry.filename for entry in entries}
    if len(names) != len(entries):
        raise BadArchiveError(f"{path} holds two entries with the same name; nothing was written")
    for entry in entries:
        reason = unsafe_because(entry.filename)
        if stat.S_ISLNK(entry.external_attr >> 16):
            reason = "is a link"
        if reason is not None:
            raise BadArchiveError(f"{path}: the name {entry.filename[:80]!r} {reason}; nothing was written")
    claimed, stored = sum(entry.file_size for entry in entries), path.stat().st_size
    if claimed > MAX_RATIO * stored:
        raise BadArchiveError(
            f"{path} would become {claimed:,} bytes, {claimed // max(stored, 1)} times its size, which no backup does; "
            "nothing was written"
        )


def _read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        entry = archive.getinfo(MANIFEST)
        if entry.file_size > MAX_MANIFEST_BYTES:
            raise BadArchiveError(f"{path} has a manifest of {entry.file_size:,} bytes; nothing was written")
        return Manifest.model_validate_json(archive.read(entry))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadArchiveError(
            f"{path} is no backup that this version reads: {where}: {first['msg']}. Use the version that wrote it."
        ) from error
    except _UNREADABLE as error:
        raise BadArchiveError(f"{path} is no backup: it has no {MANIFEST} that can be read ({error})") from error


def _check_agreement(path: Path, entries: list[zipfile.ZipInfo], manifest: Manifest) -> None:
    """Exactly what the manifest lists is there, and nothing would land where the program keeps other things."""
    expected = {MANIFEST, *(f"{ROWS}{table}.jsonl" for table in manifest.tables), *(FILES + n for n in manifest.files)}
    found = {entry.filename: entry.file_size for entry in entries}
    if found.keys() != expected:
        name = min(found.keys() ^ expected)
        raise BadArchiveError(f"{path}: {name} is {'not in the manifest' if name in found else 'missing'}")
    for name, file in manifest.files.items():
        if unsafe_because(name) is not None or not is_kept(PurePosixPath(name)):
            raise BadArchiveError(f"{path}: {name} is no file of a workspace; nothing was written")
        if found[FILES + name] != file.size:
            raise BadArchiveError(f"{path} is damaged: {name} has {found[FILES + name]} bytes, not {file.size}")
