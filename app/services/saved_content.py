"""What a backup or snapshot says about itself: rows and files with their hashes, and what is wrong with them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Table, select
from sqlalchemy.orm import Session

from app.storage import dump
from app.storage.models import Image, Model, Proposal

Sha256 = str
_HASH = Field(pattern=r"^[0-9a-f]{64}$")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SavedTable(_Part):
    """One table: `sha256` over its lines (see app/storage/dump.py)."""

    rows: int = Field(ge=0)
    sha256: Sha256 = _HASH


class SavedFile(_Part):
    """One file: its size in bytes and its hash."""

    size: int = Field(ge=0)
    sha256: Sha256 = _HASH


class Manifest(_Part):
    """Everything about one backup or snapshot.

    Attributes:
        format: what this is.
        version: of the format.
        schema_version: of the tables; see app/storage/migrations.
        workspace_id: whose content it is.
        created_at: by the clock of the machine that made it; nothing is decided by it.
        tables: by name.
        files: by path below the workspace.
        problems: sentences about files that rows refer to and that were missing or damaged already.
    """

    format: Literal["pixelsieve"] = "pixelsieve"
    version: Literal[1] = 1
    schema_version: str = Field(pattern=r"^[0-9a-z_]{1,32}$")
    workspace_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    created_at: datetime = Field(strict=False)
    tables: dict[str, SavedTable]
    files: dict[str, SavedFile]
    problems: tuple[str, ...] = Field((), strict=False)

    @property
    def rows_sha256(self) -> Sha256:
        """Equal for equal rows, in SQLite and PostgreSQL."""
        return _combined((name, table.sha256) for name, table in self.tables.items())

    @property
    def files_sha256(self) -> Sha256:
        """Equal for equal files in equal places."""
        return _combined((name, file.sha256) for name, file in self.files.items())

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files.values())


def save_rows(connection: Connection, write: Callable[[str, Iterable[bytes]], None]) -> dict[str, SavedTable]:
    """Give the lines of every table to `write(table name, lines)`, which has to take all of them; hashes them."""
    saved = {}
    for table in dump.tables_of(connection):
        digest, counted = hashlib.sha256(), 0

        def lines(table: Table = table, digest: "hashlib._Hash" = digest) -> Iterator[bytes]:
            nonlocal counted
            for line in dump.lines(connection, table):
                digest.update(line)
                counted += 1
                yield line

        write(table.name, lines())
        saved[table.name] = SavedTable(rows=counted, sha256=digest.hexdigest())
    return saved


def hash_rows(connection: Connection) -> dict[str, SavedTable]:
    """Hashes of the rows as they are."""
    return save_rows(connection, lambda _name, lines: _exhaust(lines))


def find_problems(session: Session, files: dict[str, SavedFile]) -> tuple[str, ...]:
    """Files that rows refer to and that are missing or damaged."""
    problems = []
    for image in session.scalars(select(Image).where(Image.purged_at.is_(None)).order_by(Image.id)):
        for path in filter(None, (image.path, image.label_path)):
            if path not in files:
                problems.append(f"{path} of image {image.name} is missing")
        if image.path in files and files[image.path].sha256 != image.sha256:
            problems.append(f"{image.path} of image {image.name} is damaged: it is not what was imported")
    folders = {path.rpartition("/")[0] for path in files}
    proposals = select(Proposal.folder, Image.name).join(Image, Image.id == Proposal.image_id)
    for folder, name in session.execute(proposals.where(Proposal.active).order_by(Proposal.id)):
        if folder not in folders:
            problems.append(f"{folder}, the proposal for image {name}, is missing")
    for model in session.scalars(select(Model).order_by(Model.id)):
        if files.get(model.onnx_path, SavedFile(size=0, sha256="0" * 64)).sha256 != model.onnx_sha256:
            problems.append(f"{model.onnx_path} of model {model.id} is missing or damaged")
    return tuple(problems)


def _exhaust(lines: Iterable[bytes]) -> None:
    for _ in lines:
        pass


def _combined(parts: Iterable[tuple[str, Sha256]]) -> Sha256:
    return hashlib.sha256("".join(f"{name} {sha256}\n" for name, sha256 in sorted(parts)).encode()).hexdigest()
