"""What a decision does to pixels, how that is stored, and which decisions count after undo and redo."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.states import DecisionKind, RegionState
from datasets.labels import IGNORE_INDEX, MAX_CLASSES, LabelArray, Provenance

UNTOUCHED = MAX_CLASSES
"""Value in a delta of the pixels that the decision does not set. One more than the largest possible class id."""

_HEADER = struct.Struct("<B4I")  # Format, then x0, y0, width and height in pixels.
_FORMAT = 1

DELTA_HEAD_BYTES = _HEADER.size
"""A stored delta begins with this many bytes that say where it is."""


@dataclass(frozen=True)
class Delta:
    """The pixels that one decision sets, with the class ids it sets them to.

    The values are explicit and do not depend on what was there before, so they can be replayed over a later proposal.

    Attributes:
        x0: column of the box's left edge in the image, in pixels.
        y0: row of the box's upper edge.
        values: (h, w) uint8 inside the box: a class id, IGNORE_INDEX for void, or UNTOUCHED.

    Raises:
        ValueError: `values` is empty or not uint8, or the box starts outside the image.
    """

    x0: int
    y0: int
    values: LabelArray

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.uint8 or self.values.size == 0:
            raise ValueError(f"a delta needs (h, w) uint8 values, got {self.values.shape} {self.values.dtype}")
        if self.x0 < 0 or self.y0 < 0:
            raise ValueError(f"a delta must start inside its image, got x0={self.x0}, y0={self.y0}")

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1; x1 and y1 are exclusive."""
        return self.x0, self.y0, self.x0 + self.values.shape[1], self.y0 + self.values.shape[0]

    @property
    def rows_columns(self) -> tuple[slice, slice]:
        """Index of the box in a plane of the whole image."""
        x0, y0, x1, y1 = self.bbox
        return slice(y0, y1), slice(x0, x1)

    @property
    def touched_mask(self) -> NDArray[np.bool_]:
        """(h, w), True where the decision sets a pixel."""
        touched: NDArray[np.bool_] = self.values != UNTOUCHED
        return touched

    def check(self, size_hw: tuple[int, int], num_classes: int) -> None:
        """Refuse a delta that leaves its image or holds an id that is neither a class nor void.

        Raises:
            ValueError: says which box or id.
        """
        _, _, x1, y1 = self.bbox
        if x1 > size_hw[1] or y1 > size_hw[0]:
            raise ValueError(f"the edit's box {self.bbox} leaves the image, which is {size_hw[1]}x{size_hw[0]} pixels")
        present = np.flatnonzero(np.bincount(self.values.reshape(-1), minlength=256))
        unknown = [int(value) for value in present if value >= num_classes and value not in (UNTOUCHED, IGNORE_INDEX)]
        if unknown:
            raise ValueError(
                f"the edit holds class ids {unknown[:8]}; allowed are 0-{num_classes - 1}, {IGNORE_INDEX} for void and "
                f"{UNTOUCHED} for pixels it leaves alone. Reload the page: the class list may have changed."
            )

    def conflicts_with(self, other: "Delta") -> bool:
        """Whether both set at least one common pixel."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.bbox[2], other.bbox[2]), min(self.bbox[3], other.bbox[3])
        if x0 >= x1 or y0 >= y1:
            return False
        mine, theirs = (d.touched_mask[y0 - d.y0 : y1 - d.y0, x0 - d.x0 : x1 - d.x0] for d in (self, other))
        return bool(np.any(mine & theirs))


def delta_from_mask(touched_mask: NDArray[np.bool_], label: LabelArray, x0: int = 0, y0: int = 0) -> Delta:
    """The smallest delta that sets the pixels of a mask to the ids of `label`.

    Args:
        touched_mask: (h, w) bool, at least one True.
        label: (h, w) uint8, read where the mask is True.
        x0: column of the mask's left edge in the image.
        y0: row of its upper edge.
    """
    rows, columns = np.flatnonzero(touched_mask.any(axis=1)), np.flatnonzero(touched_mask.any(axis=0))
    if rows.size == 0:
        raise ValueError("an edit must set at least one pixel")
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    values = np.where(touched_mask[box], label[box], np.uint8(UNTOUCHED))
    return Delta(x0 + int(columns[0]), y0 + int(rows[0]), values)


def encode_delta(delta: Delta) -> bytes:
    """The form in which a delta is stored: a fixed header, then the deflated values in row order."""
    height, width = delta.values.shape
    return _HEADER.pack(_FORMAT, delta.x0, delta.y0, width, height) + zlib.compress(delta.values.tobytes(), 6)


def decode_delta(content: bytes, size_hw: tuple[int, int]) -> Delta:
    """Read what `encode_delta` wrote. Never holds more memory than the box needs, whatever the bytes claim.

    Args:
        content: header and deflated values.
        size_hw: the image's size, which bounds the box.

    Raises:
        ValueError: another format, a box outside the image, or values that are too short, too long or damaged.
    """
    if len(content) < _HEADER.size:
        raise ValueError(f"a stored edit has at least {_HEADER.size} bytes, got {len(content)}")
    version, x0, y0, width, height = _HEADER.unpack_from(content)
    if version != _FORMAT:
        raise ValueError(f"a stored edit has format {version}, this program reads format {_FORMAT}")
    if not (0 < width <= size_hw[1] - x0 and 0 < height <= size_hw[0] - y0):
        raise ValueError(
            f"a stored edit of {width}x{height} at ({x0}, {y0}) leaves its {size_hw[1]}x{size_hw[0]} image"
        )
    values = np.frombuffer(inflate_exactly(content[_HEADER.size :], width * height), np.uint8)
    return Delta(x0, y0, values.reshape(height, width))


def stored_bbox(content: bytes) -> tuple[int, int, int, int]:
    """Box x0, y0, x1, y1 of a stored delta, of which the first DELTA_HEAD_BYTES suffice."""
    _, x0, y0, width, height = _HEADER.unpack_from(content)
    return x0, y0, x0 + width, y0 + height


def inflate_exactly(content: bytes, expected: int) -> bytes:
    """Inflate bytes that must become exactly `expected` long; stops at that size, so a bomb costs nothing.

    Raises:
        ValueError: damaged, shorter or longer than expected.
    """
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(content, expected + 1)
    except zlib.error as error:
        raise ValueError(f"the edit's bytes are damaged ({error}); send it again") from error
    if len(inflated) != expected or not inflater.eof or inflater.unused_data:
        raise ValueError(f"the edit's bytes do not inflate to exactly {expected} pixels; send it again")
    return inflated


@dataclass(frozen=True)
class LabelState:
    """What is known about the pixels of one image now.

    Attributes:
        label: (H, W) uint8 class ids and IGNORE_INDEX.
        provenance: (H, W) uint8 `Provenance` codes.
    """

    label: LabelArray
    provenance: NDArray[np.uint8]


def base_provenance(reliable: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Provenance of a proposal before anybody decided: PSEUDO where (H, W) `reliable`, else UNREVIEWED."""
    return np.where(reliable, np.uint8(Provenance.PSEUDO), np.uint8(Provenance.UNREVIEWED))


def replay(base: LabelState, deltas: Iterable[Delta], x0: int = 0, y0: int = 0) -> LabelState:
    """Apply decisions in order over a base: every pixel they set becomes HUMAN; the last one wins.

    Args:
        base: the whole image, or a box in it.
        deltas: may lie anywhere; what is outside of the base is left out.
        x0: column of the base's left edge in the image.
        y0: row of its upper edge.
    """
    label, provenance = base.label.copy(), base.provenance.copy()
    height, width = label.shape
    for delta in deltas:
        left, top = max(delta.x0, x0), max(delta.y0, y0)
        right, bottom = min(delta.bbox[2], x0 + width), min(delta.bbox[3], y0 + height)
        if left < right and top < bottom:
            values = delta.values[top - delta.y0 : bottom - delta.y0, left - delta.x0 : right - delta.x0]
            box = slice(top - y0, bottom - y0), slice(left - x0, right - x0)
            np.copyto(label[box], values, where=values != UNTOUCHED)
            np.copyto(provenance[box], np.uint8(Provenance.HUMAN), where=values != UNTOUCHED)
    return LabelState(label, provenance)


def merged(deltas: Sequence[Delta]) -> Delta | None:
    """One delta that sets what some deltas set in order, the last one winning; None for none."""
    if not deltas:
        return None
    boxes = np.array([delta.bbox for delta in deltas])
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    untouched = np.full((y1 - y0, x1 - x0), UNTOUCHED, np.uint8)
    moved = (Delta(delta.x0 - x0, delta.y0 - y0, delta.values) for delta in deltas)
    return Delta(x0, y0, replay(LabelState(untouched, untouched), moved).label)


@dataclass(frozen=True)
class Operation:
    """A decision as far as undo and redo see it.

    Attributes:
        op_id: its id.
        kind: what was done.
        undoes: for an undo, the id of the operation it takes back.
        undoes_kind: and that operation's kind; UNDO makes this one a redo.
    """

    op_id: str
    kind: DecisionKind
    undoes: str | None = None
    undoes_kind: DecisionKind | None = None


def undone_ids(operations: Sequence[Operation]) -> frozenset[str]:
    """Ids of the operations, oldest first, that an undo takes back which itself counts; undos among them."""
    undone: set[str] = set()
    for operation in reversed(operations):  # An undo names an earlier operation, so the newest is never in doubt.
        if operation.undoes is not None and operation.op_id not in undone:
            undone.add(operation.undoes)
    return frozenset(undone)


def effective_ids(operations: Sequence[Operation]) -> frozenset[str]:
    """Ids of the operations, oldest first, that count: no undo, and not taken back by an undo that itself counts."""
    undone = undone_ids(operations)
    return frozenset(each.op_id for each in operations if each.undoes is None and each.op_id not in undone)


def undo_target(newest_first: Iterable[Operation]) -> Operation | None:
    """The latest operation of one person that still counts; stops reading there. None when nothing is left."""
    return next(undo_stack(newest_first), None)


def redo_target(newest_first: Iterable[Operation]) -> Operation | None:
    """The undo to take back: the latest that counts, unless its author has decided something new since then."""
    return next(redo_stack(newest_first), None)


def undo_stack(newest_first: Iterable[Operation]) -> Iterator[Operation]:
    """One person's operations that count, newest first: what undo after undo takes back."""
    undone: set[str] = set()
    for operation in newest_first:
        if operation.op_id in undone:
            continue
        if operation.undoes is None:
            yield operation
        else:
            undone.add(operation.undoes)


def redo_stack(newest_first: Iterable[Operation]) -> Iterator[Operation]:
    """The undos that redo after redo takes back, newest first; none from before the person did something new."""
    undone: set[str] = set()
    for operation in newest_first:
        if operation.undoes is None:
            return
        if operation.op_id in undone:
            continue
        if operation.undoes_kind is not DecisionKind.UNDO:
            yield operation
        undone.add(operation.undoes)


def standing_undo(operations: Sequence[Operation], op_id: str) -> Operation | None:
    """The undo, among operations oldest first, by which `op_id` does not count now; None when it does."""
    undone: set[str] = set()
    for operation in reversed(operations):
        if operation.op_id in undone or operation.undoes is None:
            continue
        if operation.undoes == op_id:
            return operation
        undone.add(operation.undoes)
    return None


PENDING_STATES = (RegionState.OPEN, RegionState.SKIPPED, RegionState.SECOND_REVIEW)
"""Regions that still wait for somebody."""


def region_state_after(kind: DecisionKind, closes_region: bool) -> RegionState | None:
    """State of a region after a decision about it, or None where the decision leaves it as it was."""
    if kind is DecisionKind.SKIP:
        return RegionState.SKIPPED
    if kind is DecisionKind.DONT_KNOW:
        return RegionState.SECOND_REVIEW
    return RegionState.DECIDED if closes_region else None
