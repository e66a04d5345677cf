"""Which names in an archive may become files: archives come from outside, and a name can point anywhere."""

from pathlib import PurePosixPath

MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 255
"""The longest name that common file systems take."""


def unsafe_because(name: str) -> str | None:
    """Why a relative POSIX path must not be written below a folder; None when it may."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if not name or len(encoded) > MAX_PATH_BYTES:
        return f"must have 1-{MAX_PATH_BYTES} bytes"
    if any(ord(character) < 32 or character in '\\:*?"<>|\x7f' for character in name):
        return "holds a character that is special on some systems"
    if name.startswith("/") or name.endswith("/") or "//" in name:
        return "is not relative, or names a folder"
    parts = PurePosixPath(name).parts
    if any(part in (".", "..") for part in name.split("/")):
        return "leaves its folder"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return f"has a part of more than {MAX_PART_BYTES} bytes"
    return None
