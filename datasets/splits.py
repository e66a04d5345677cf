"""Which training images may show their labels: seeded lists of ids, kept as text files.

A split is a folder with labeled.txt and unlabeled.txt, one sample per line: a sample id, or paths as in
"images/train/X.jpg masks/train/X.png" or "JPEGImages/X.jpg SegmentationClass/X.png" (the mask is not used: it is found
by the data set's format). Which sample a path names, views.py finds out.
"""

import random
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from datasets.files import write_atomically
from datasets.paths import IMAGE_SUFFIXES, problem_with_name, safe_relative_path, sample_id_of

LABELED_FILE = "labeled.txt"
UNLABELED_FILE = "unlabeled.txt"

_MASK_WORDS = 2  # words on a line: image, or image and mask


@dataclass(frozen=True)
class LabeledSplit:
    """Ids whose labels training may use, and ids whose labels it must not see.

    Raises:
        ValueError: no labeled id, or an id that is listed twice.
    """

    labeled: tuple[str, ...]
    unlabeled: tuple[str, ...]

    def __post_init__(self) -> None:
        _refuse_repeated(self.labeled + self.unlabeled)
        if not self.labeled:
            raise ValueError("a split needs at least one labeled sample, got none")


def read_split(folder: Path) -> LabeledSplit:
    """Read labeled.txt and unlabeled.txt.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a line that is no sample, or a sample listed twice; names file and line.
    """
    lines: dict[str, str] = {}  # sample id -> where it was listed
    labeled = _read_ids(folder / LABELED_FILE, lines)
    unlabeled = _read_ids(folder / UNLABELED_FILE, lines)
    try:
        return LabeledSplit(labeled, unlabeled)
    except ValueError as error:
        raise ValueError(f"{folder / LABELED_FILE}: {error}") from error


def write_split(folder: Path, split: LabeledSplit) -> None:
    """Write labeled.txt and unlabeled.txt with one id per line; `read_split` gives the same split back."""
    for name, sample_ids in ((UNLABELED_FILE, split.unlabeled), (LABELED_FILE, split.labeled)):
        write_atomically(folder / name, "".join(f"{sample_id}\n" for sample_id in sample_ids).encode())


def find_split(root: Path, name: str) -> Path:
    """The folder of a named split of a data set.

    Args:
        root: the data set's folder, or a file in it (a manifest).
        name: for example "1_8".

    Raises:
        FileNotFoundError: no such split; the message lists those there are and how to make one.
        ValueError: a name that leaves the folder.
    """
    splits = (root if root.is_dir() else root.parent) / "splits"
    folder = safe_relative_path(splits, name)
    if (folder / LABELED_FILE).is_file():
        return folder
    found = sorted(path.parent.name for path in splits.glob(f"*/{LABELED_FILE}"))
    raise FileNotFoundError(
        f"no split '{name}' in {splits}; found {', '.join(found) or 'none'}. "
        "Make it with: python -m training split --help"
    )


def make_split(
    sample_ids: Sequence[str], fraction: float, seed: int, groups: Sequence[str] | None = None
) -> LabeledSplit:
    """Choose the labeled share at random, in the same proportion from every group.

    The order of choice depends on seed and ids only, so with one seed a larger fraction contains every smaller one.

    Args:
        sample_ids: in any order.
        fraction: share to be labeled, above 0 and at most 1; at least one sample is taken.
        seed: of the shuffle.
        groups: the group of each sample, for example its `sequence_of`; None puts all into one.

    Raises:
        ValueError: no or repeated ids, a fraction out of range, or another number of groups than of ids.
    """
    if not sample_ids:
        raise ValueError("cannot split an empty list of samples")
    _refuse_repeated(sample_ids)
    if not 0 < fraction <= 1:
        raise ValueError(f"the labeled fraction must be above 0 and at most 1, got {fraction}")
    if groups is not None and len(groups) != len(sample_ids):
        raise ValueError(f"{len(sample_ids)} samples but {len(groups)} groups; give one group per sample")
    group_of = dict(zip(sample_ids, groups if groups is not None else [""] * len(sample_ids), strict=True))
    order = _proportional_order(group_of, seed)
    count = max(1, _rounded(fraction * len(order)))
    return LabeledSplit(tuple(sorted(order[:count])), tuple(sorted(order[count:])))


def hold_out_blocks(sample_ids: Sequence[str], share: float, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Set frames aside as one block at the beginning or end of every sequence (which one, the seed says).

    Neighbouring frames of a video are near-duplicates: a model that trained on one has seen the other. A block has the
    fewest neighbours; `beside` finds those that are left, also among frames that are not split here. Sequences are
    told apart by `sequence_of`, frames by their number.

    Args:
        sample_ids: in any order.
        share: held out of all samples, above 0 and below 1; at least one sample is.
        seed: which ends are taken, and from which sequences when not all can give a frame.

    Returns:
        (kept, held_out), each in name order; together they are all samples.

    Raises:
        ValueError: a share out of range, repeated ids, or nothing would be kept.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share that is held out must be between 0 and 1, got {share}")
    _refuse_repeated(sample_ids)
    sequence = {sample_id: sequence_of(sample_id) for sample_id in sample_ids}
    order = _proportional_order(sequence, seed)
    quota = Counter(sequence[sample_id] for sample_id in order[: held_out_number(len(order), share)])
    kept: list[str] = []
    held_out: list[str] = []
    chooser = random.Random(seed)
    for name in sorted(set(sequence.values())):
        frames = sorted((sample_id for sample_id in sequence if sequence[sample_id] == name), key=_frame_order)
        if chooser.random() < 0.5:
            frames.reverse()
        held_out += frames[: quota[name]]
        kept += frames[quota[name] :]
    if not kept:
        raise ValueError(f"holding out {share:.0%} of {len(sample_ids)} samples would keep none")
    return tuple(sorted(kept)), tuple(sorted(held_out))


def held_out_number(total: int, share: float) -> int:
    """How many of so many samples `hold_out_blocks` sets aside."""
    return max(1, _rounded(share * total))


def beside(sample_ids: Sequence[str], chosen: Collection[str]) -> tuple[str, ...]:
    """The frames right before and right after a chosen frame in its sequence, themselves not chosen.

    Args:
        sample_ids: all pictures there are, labeled or not; sequences and order as in `hold_out_blocks`. Those whose ids
            do not end in digits are no frames and have no neighbors.
        chosen: some of them, for example the held-out ones.

    Returns:
        ids in name order.
    """
    found: set[str] = set()
    frames = [sample_id for sample_id in sample_ids if re.search(r"\d+$", sample_id)]
    order = sorted(frames, key=lambda sample_id: (sequence_of(sample_id), _frame_order(sample_id)))
    for first, second in pairwise(order):
        if sequence_of(first) == sequence_of(second) and (first in chosen) != (second in chosen):
            found.add(second if first in chosen else first)
    return tuple(sorted(found))


def sequence_of(sample_id: str) -> str:
    """The recording a frame belongs to: its id without the frame number at the end ("0001TP_006690" -> "0001TP_")."""
    prefix = re.sub(r"\d+$", "", sample_id)
    return prefix if prefix != sample_id else str(PurePosixPath(sample_id).parent)


def _frame_order(sample_id: str) -> tuple[int, str]:
    number = re.search(r"\d+$", sample_id)
    return int(number.group()) if number else 0, sample_id


def _proportional_order(group_of: dict[str, str], seed: int) -> list[str]:
    """All ids so that every beginning of the list holds each group in proportion to its size.

    The r-th of n members of a group gets the place (r + 1/2) / n on a common line.
    """
    members: dict[str, list[str]] = {}
    for sample_id in sorted(group_of):
        members.setdefault(group_of[sample_id], []).append(sample_id)
    shuffler = random.Random(seed)
    places: list[tuple[float, float, str]] = []
    for group in sorted(members):
        shuffler.shuffle(members[group])
        size = len(members[group])
        places += [((rank + 0.5) / size, shuffler.random(), name) for rank, name in enumerate(members[group])]
    return [name for _, _, name in sorted(places)]


def _read_ids(path: Path, lines: dict[str, str]) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no {path.name} in {path.parent}; a split needs {LABELED_FILE} and {UNLABELED_FILE}. "
            "Make it with: python -m training split --help"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error}. Write the list again.") from error
    sample_ids = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            sample_id = _id_on_line(line, f"{path}, line {number}")
            if sample_id in lines:
                raise ValueError(f"{path}, line {number}: '{sample_id}' is listed already in {lines[sample_id]}")
            lines[sample_id] = f"{path}, line {number}"
            sample_ids.append(sample_id)
    return tuple(sample_ids)


def _id_on_line(line: str, where: str) -> str:
    words = line.split()
    if len(words) > _MASK_WORDS:
        raise ValueError(f"{where}: expected a sample id, or an image and its mask, got {line.strip()!r}")
    problem = problem_with_name(words[0])
    if problem:
        raise ValueError(f"{where}: the name {words[0]!r} {problem}. Write a sample id or a path below the data set.")
    parts = PurePosixPath(words[0]).parts
    if parts[0] == "images" and PurePosixPath(words[0]).suffix.lower() in IMAGE_SUFFIXES:
        return sample_id_of("/".join(parts[2:] if len(parts) > 2 else parts[1:]))
    return sample_id_of(words[0])


def _rounded(value: float) -> int:
    return int(value + 0.5)


def _refuse_repeated(sample_ids: Sequence[str]) -> None:
    repeated = [sample_id for sample_id, count in Counter(sample_ids).items() if count > 1]
    if repeated:
        raise ValueError(f"samples listed twice: {', '.join(repeated[:5])}. List each of them once.")
