"""Which key relabels to which class: fixed per class, the same for everybody."""

COMMAND_LETTERS = "BDEFGHKLMNOPRSTWX"
"""Letters that are commands in reviewer/keymap.js (tested)."""

_LETTERS = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in COMMAND_LETTERS]


def class_keys(num_classes: int) -> tuple[str | None, ...]:
    """1-9, then the free letters, then the same with Shift; None for classes beyond: these need the mouse."""
    keys = [*"123456789", *_LETTERS, *(f"Shift+{letter}" for letter in _LETTERS)]
    return tuple(keys[index] if index < len(keys) else None for index in range(num_classes))
