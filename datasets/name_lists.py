"""Text files that list one name per line, as published data sets come with."""

from pathlib import Path


def listed_names(path: Path) -> list[tuple[str, str]]:
    """The first word of every line that has one, each with "file, line number" for messages.

    Raises:
        ValueError: not a text file, or no name in it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error}. Write the list again.") from error
    names = [(line.split()[0], f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not names:
        raise ValueError(f"{path} lists no image")
    return names
