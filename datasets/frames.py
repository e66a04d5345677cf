"""Frames of recordings: which pictures belong together, which lie beside each other, and how they form blocks.

Neighboring frames of a video are near-duplicates. What was learned from one was learned from the other, and what is
measured on one is measured on the other: held-out frames keep a distance to training frames and count in blocks.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.splits import hold_out_blocks, sequence_of

BLOCK_FRAMES = 20
"""Frames of a block: about 20 seconds of driving at one frame a second, as in CamVid and Cityscapes' source videos."""


@dataclass(frozen=True)
class Frame:
    """Where a picture lies.

    Attributes:
        recording: pictures of one recording can be neighbors.
        number: the place in it; None: it has no neighbor.
    """

    recording: str
    number: int | None


@dataclass(frozen=True)
class FrameRule:
    """How ids of samples name frames.

    Attributes:
        independent: no picture has a neighbor: they do not come from videos.
        pattern: regular expression whose first group is the recording and whose second one, digits, is the frame's
            number; searched in the id. Empty: the digits at the end of the id are the number, the rest is the
            recording; an id without them has no neighbor.

    Raises:
        ValueError: the pattern is no regular expression or has other groups, or both are given.
    """

    independent: bool = False
    pattern: str = ""

    def __post_init__(self) -> None:
        if self.independent and self.pattern:
            raise ValueError("independent pictures belong to no recording; give a pattern or say independent, not both")
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"the frame pattern {self.pattern!r} is no regular expression: {error}") from error
        if self.pattern and groups != 2:
            raise ValueError(
                f"the frame pattern {self.pattern!r} has {groups} groups; it needs two, the recording and the frame's "
                r"number, for example ^(.*)_frame(\d+)"
            )

    def frame_of(self, sample_id: str) -> Frame:
        """Raises: ValueError: the pattern does not fit the id."""
        if self.independent:
            return Frame(sample_id, None)
        if self.pattern:
            found = re.search(self.pattern, sample_id)
            if found is None or not found[2].isdecimal():
                raise ValueError(
                    f"the frame pattern {self.pattern!r} does not fit {sample_id!r}: its second group must be digits"
                )
            return Frame(found[1], int(found[2]))
        digits = re.search(r"\d+$", sample_id)
        return Frame(sequence_of(sample_id), int(digits.group())) if digits else Frame(sample_id, None)


NUMBERED = FrameRule()
"""Frames by the digits at the end of their ids."""


def near_frames(
    held_out: Sequence[str], trained: Collection[str], gap: int, rule: FrameRule, listed: Collection[str] = ()
) -> dict[str, str]:
    """Held-out frames that lie too close to a training frame of the same recording.

    Distances are counted in frames. The step from one frame to the next is the usual one between the numbers of the
    training data, or of the held-out frames where that is larger: a recording in which every thirtieth picture was
    labeled has neighbors too, and a clip of every second picture cut out of it lies beside them. Where most
    held-out frames have the pictures before and after them, listed or held out, within twice the gap, they are a sparse
    choice from that very list: its step counts alone.

    Args:
        held_out: ids.
        trained: ids.
        gap: so many frames must lie between; 0 allows neighbors, but never the same frame.
        rule: what a frame is.
        listed: ids of the training data that were not trained on; they only say how far apart frames are.

    Returns:
        id of a held-out frame -> the nearest training frame, where the gap is not kept.
    """
    trained_ids = set(trained)
    found = {sample_id: sample_id for sample_id in held_out if sample_id in trained_ids}
    theirs, mine = _by_recording(trained_ids, rule), _by_recording(set(held_out) - trained_ids, rule)
    all_theirs = _by_recording({*trained_ids, *listed}, rule)
    for recording in theirs.keys() & mine.keys():
        step = _step_between(all_theirs[recording], mine[recording], gap)
        places = np.sort(np.array(list(theirs[recording]), np.int64))
        numbers = np.array(list(mine[recording]), np.int64)
        right = np.searchsorted(places, numbers).clip(0, len(places) - 1)
        left = (right - 1).clip(0)
        is_left = np.abs(places[left] - numbers) < np.abs(places[right] - numbers)
        nearest = np.where(is_left, places[left], places[right])
        for number, place in zip(numbers.tolist(), nearest.tolist(), strict=True):
            if number == place or abs(number - place) < (gap + 1) * step:
                found[mine[recording][number]] = theirs[recording][place]
    return found


def _by_recording(sample_ids: Collection[str], rule: FrameRule) -> dict[str, dict[int, str]]:
    """Recording -> number -> id, of the frames that have neighbors."""
    recordings: dict[str, dict[int, str]] = {}
    for sample_id in sample_ids:
        frame = rule.frame_of(sample_id)
        if frame.number is not None:
            recordings.setdefault(frame.recording, {})[frame.number] = sample_id
    return recordings


def _step_between(listed: Collection[int], held_out: Collection[int], gap: int) -> float:
    """From one frame of a recording to the next, as `near_frames` counts."""
    step = _usual_step(listed)
    # Distance to the picture before and after, whichever list it is in; the recording's ends are far from nothing.
    places = np.unique(np.array([*listed, *held_out], np.int64))
    steps = np.diff(places, prepend=places[0], append=places[-1])
    around = np.maximum(steps[:-1], steps[1:])[np.isin(places, np.array(list(held_out), np.int64))]
    are_amid = 2 * np.count_nonzero(around <= 2 * (gap + 1) * step) >= len(around)
    return step if are_amid else max(step, _usual_step(held_out))


def _usual_step(frames: Collection[int]) -> float:
    """The tenth percentile of the distances from one number to the next; 1 for a single frame.

    Frames that were drawn from a recording here and there lie far apart on average, yet some of them are neighbors; and
    a pair that is closer by chance should not decide where there are many.
    """
    steps = np.diff(np.sort(np.array(list(frames), np.int64)))
    return float(np.quantile(steps, 0.1, method="lower")) if steps.size else 1.0


def frame_blocks(sample_ids: Sequence[str], frames: int = BLOCK_FRAMES, rule: FrameRule = NUMBERED) -> dict[str, str]:
    """Consecutive frames of one recording share a block: sample id -> block name.

    A rest of fewer than half a block joins the block before. A picture without neighbors is a block of its own.

    Args:
        sample_ids: in any order.
        frames: per block.
        rule: what a frame is.
    """
    block_of = {sample_id: sample_id for sample_id in sample_ids if rule.frame_of(sample_id).number is None}
    for recording, members in _by_recording(sample_ids, rule).items():
        last = max(1, (len(members) + frames // 2) // frames) - 1
        for position, (_, sample_id) in enumerate(sorted(members.items())):
            block_of[sample_id] = f"{recording.rstrip('_f')}-{min(position // frames, last):02d}"
    return block_of


def set_apart(sample_ids: Sequence[str], share: float, seed: int, rule: FrameRule) -> tuple[str, ...]:
    """A share of the pictures: blocks at one end of every recording, and single pictures by chance; in name order.

    Raises:
        ValueError: a share out of range, or nothing would be left.
    """
    names = {}
    for sample_id in sample_ids:
        frame = rule.frame_of(sample_id)
        # One recording for all single pictures, in an order that says nothing: a block of them is a random choice.
        place = _shuffled(sample_id, seed) if frame.number is None else frame.number
        names[f"{'' if frame.number is None else frame.recording}:{place}"] = sample_id
    _, chosen = hold_out_blocks(list(names), share, seed)
    return tuple(sorted(names[name] for name in chosen))


def _shuffled(sample_id: str, seed: int) -> int:
    return int.from_bytes(np.random.default_rng([seed, *sample_id.encode()]).bytes(8), "big")
