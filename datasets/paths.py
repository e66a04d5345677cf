"""File names that come from outside: which ones are followed, and which sample id they give."""

import hashlib
import re
from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""Endings that are taken for pictures when a folder is listed. What a file really is, its content decides."""

_PLAIN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_UNSAFE_CHARACTER = re.compile(r"[^A-Za-z0-9_.\-/]")
_MAX_PART_BYTES = 255
_HASH_DIGITS = 8  # 32 bits: enough to keep apart names that differ only in characters an id cannot hold.


def safe_relative_path(root: Path, name: str) -> Path:
    """`root / name`, when that stays inside `root` even after following symbolic links.

    Args:
        root: the folder that must not be left; may itself be a link.
        name: a relative path with '/' between its parts, as read from a list.

    Returns:
        The joined path. It need not exist.

    Raises:
        ValueError: empty, absolute, with a backslash, a control character or a '..' part, or a link that leads out.
    """
    problem = problem_with_name(name)
    if problem:
        raise ValueError(f"the name {name!r} {problem}. Use a path below {root} with '/' between its parts.")
    path = root / name
    require_inside(root, path)
    return path


def require_inside(root: Path, path: Path) -> None:
    """Refuse a path that leaves `root` through a symbolic link.

    Raises:
        ValueError: names the path and where it leads.
    """
    try:
        target = path.resolve()
        inside = target.is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be followed: {error}. Replace the link by the file itself.") from error
    if not inside:
        raise ValueError(
            f"{path} leads out of {root}, to {target}. Copy the files into {root}, or give the folder that holds them."
        )


def problem_with_name(name: str) -> str | None:
    """Why `name` is not a relative path that stays below its folder, as the end of a sentence; None if it is one."""
    if not name.strip():
        return "is empty"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "contains a control character"
    if "\\" in name:
        return "contains a backslash"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if ".." in PurePosixPath(name).parts:
        return "contains '..'"
    return None


def is_file_name(name: str) -> bool:
    """Whether a file below some folder can have this name on common file systems."""
    parts = name.encode("utf-8", "replace").split(b"/")
    return problem_with_name(name) is None and all(0 < len(part) <= _MAX_PART_BYTES for part in parts)


def file_name_of(path: Path, sample_id: str) -> str:
    """The name of an image file as people know it: as many parts of its path as its sample id has.

    Bytes that are no UTF-8 become question marks in black diamonds.
    """
    name = "/".join(path.parts[-(sample_id.count("/") + 1) :])
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def shown_name(sample_id: str, file_name: str) -> str:
    """What people are shown: the id, or where that had to replace characters the file's name without its ending.

    Names with characters that cannot be seen, or that move others about, stay replaced.
    """
    stem = file_name[: -len(PurePosixPath(file_name).suffix) or None]
    return stem if stem.isprintable() and sample_id_of(file_name) == sample_id else sample_id


def sample_id_of(relative: PurePosixPath | str) -> str:
    """Sample id of an image file: its path below the folder of images, without the ending.

    Ids hold letters, digits, '.', '_', '-' and '/' only, because they become file names and database keys. Any other
    character becomes '_', and a short hash of the original name is added, so that different names stay different; a
    frame number at the end stays at the end.
    """
    text = str(relative)
    suffix = PurePosixPath(text).suffix
    stem = text[: -len(suffix)] if suffix.lower() in IMAGE_SUFFIXES else text
    if _PLAIN_ID.fullmatch(stem):
        return stem
    name = stem.rstrip("0123456789")
    frame_number = stem[len(name) :]
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]
    plain = "/".join(re.sub(r"^[.-]", "_", part) for part in _UNSAFE_CHARACTER.sub("_", name).split("/"))
    return f"{plain}_{digest}-{frame_number}" if frame_number else f"{plain}_{digest}"
