"""Finished COCO exports of a workspace, and one of them as a single file for download."""

import re
import tempfile
import zipfile
from pathlib import Path

from app.config import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MANIFEST = "manifest.json"
"""Written last (see export/coco_masks.py): a folder without it is not finished."""


def list_exports(workspace: Workspace) -> list[str]:
    """Names of the finished exports, newest first."""
    finished = [folder for folder in workspace.exports.glob("*") if _is_finished(folder)]
    finished.sort(key=lambda folder: (folder / _MANIFEST).stat().st_mtime, reverse=True)
    return [folder.name for folder in finished]


def export_archive(workspace: Workspace, name: str) -> Path:
    """A new zip file of one export; the caller removes it. Not compressed: its largest files are PNGs already.

    Raises:
        LookupError: there is no finished export of this name.
    """
    folder = workspace.exports / name
    if not _NAME.fullmatch(name) or not _is_finished(folder):
        known = ", ".join(list_exports(workspace)) or "none yet"
        raise LookupError(f"there is no finished export of this name; exports: {known}")
    with tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".zip", delete=False) as file:
        archive = Path(file.name)
        try:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target:
                for path in sorted(folder.rglob("*")):
                    if path.is_file():
                        target.write(path, f"{name}/{path.relative_to(folder).as_posix()}")
        except BaseException:
            archive.unlink(missing_ok=True)
            raise
    return archive


def _is_finished(folder: Path) -> bool:
    return _NAME.fullmatch(folder.name) is not None and (folder / _MANIFEST).is_file()
