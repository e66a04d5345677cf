"""What the explorer, FiftyOne, is told about an image, what differs there, and what its tags mean here."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.labels import LabelArray

OWN_TAG_PREFIXES = ("role:", "state:", "gold:")
"""Tags that start like this are ours: a sync sets and removes them. All others are the person's and stay."""

WORSE_TAG = "gold:worse"
"""On gold images whose mIoU fell from the model before to the current one."""


def shown_ids(label: LabelArray) -> NDArray[np.uint8]:
    """A label as FiftyOne counts: it never paints 0, so void becomes 0 and every class id one more.

    Args:
        label: (H, W) class ids from 0, and 255 for void.
    """
    return (label + np.uint8(1)).astype(np.uint8)  # 255 + 1 is 0 in 8 bits.


class TagCommand(StrEnum):
    """Tags that people set in FiftyOne and that change something here."""

    FLAG = "flag"
    """Asks a question about the image, which waits on the page Second review."""
    REVIEW = "review"
    """The image goes to the front of the queue, also when it was enough; where nothing waits any more, it is asked
    about like a flagged one. Taking the tag off gives it back its place."""
    ASSIGN = "assign"
    """`assign:NAME` gives the image to that person; taking the tag off gives it back to everybody."""


@dataclass(frozen=True)
class TagOrder:
    """A tag that changes something: what it is for, and whose name it carries (empty unless `assign:NAME`)."""

    command: TagCommand
    name: str = ""

    @property
    def tag(self) -> str:
        """As people write it."""
        return f"{self.command}:{self.name}" if self.name else self.command.value


def read_orders(tags: Iterable[str]) -> frozenset[TagOrder]:
    """The tags of one sample that change something here; letters may be large or small."""
    found = set()
    for tag in tags:
        word, _, name = tag.strip().partition(":")
        command = word.strip().lower()
        if command == TagCommand.ASSIGN and name.strip():
            found.add(TagOrder(TagCommand.ASSIGN, name.strip()))
        elif command in set(TagCommand) - {TagCommand.ASSIGN} and not name:
            found.add(TagOrder(TagCommand(command)))
    return frozenset(found)


def merge_tags(present: Collection[str], own: Iterable[str]) -> list[str]:
    """The person's tags as they are, in their order, and behind them ours."""
    theirs = [tag for tag in present if not tag.startswith(OWN_TAG_PREFIXES)]
    return [*theirs, *sorted(own)]


Values = Mapping[str, Any]
"""Field -> value of one sample. Paths of masks stand for masks: their files never change."""


@dataclass(frozen=True)
class SampleChanges:
    """What has to happen so that the explorer's samples say what the store says. Keys are hashes of images.

    Attributes:
        added: keys without a sample.
        removed: keys of samples whose image is gone.
        changed: field -> key -> new value; only what differs.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, Mapping[str, Any]]

    @property
    def changed_keys(self) -> set[str]:
        """Keys of samples of which at least one field differs."""
        return {key for values in self.changed.values() for key in values}

    @property
    def is_empty(self) -> bool:
        """Whether both say the same."""
        return not (self.added or self.removed or self.changed)


def find_changes(wanted: Mapping[str, Values], present: Mapping[str, Values]) -> SampleChanges:
    """Compare what the store says with what the explorer has.

    Args:
        wanted: key -> our fields; `tags` holds our tags only.
        present: key -> the same fields; `tags` holds all tags, the person's among them.
    """
    changed: dict[str, dict[str, Any]] = {}
    for key in wanted.keys() & present.keys():
        for field, value in wanted[key].items():
            now = present[key].get(field)
            new = merge_tags(now or (), value) if field == "tags" else value
            if (set(now or ()) != set(new)) if field == "tags" else now != new:
                changed.setdefault(field, {})[key] = new
    added = tuple(key for key in wanted if key not in present)
    return SampleChanges(added, tuple(sorted(present.keys() - wanted.keys())), changed)
