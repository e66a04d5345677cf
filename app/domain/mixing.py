"""Where probes stand among the regions of the queue: often enough, by chance, and nobody can tell where.

A probe is a region that is shown for another reason than doubt: audit, planted or control. Each person has a sequence
of places, 0 for the first region that the queue ever gave them. This module says which places hold a probe and of which
kind; all others hold the best region that is left, so that the queue keeps the order of its scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from app.domain.states import PROBE_KINDS, RegionKind

LARGEST_SHARE = 0.2
"""Of one kind of probe. More would leave little of the queue."""

_CHUNK = 4096
"""Places are worked out in steps of so many."""


@dataclass(frozen=True)
class ProbeShares:
    """How many of the regions that a person is given are probes, as shares from 0 to LARGEST_SHARE.

    Attributes:
        audit: from the reliable area.
        planted: with a wrong label on purpose.
        control: whole images.
    """

    audit: float
    planted: float
    control: float

    def __post_init__(self) -> None:
        for kind in PROBE_KINDS:
            if not 0 <= self.of(kind) <= LARGEST_SHARE:
                raise ValueError(f"the share of {kind} regions must be 0-{LARGEST_SHARE}, got {self.of(kind)}")

    def of(self, kind: RegionKind) -> float:
        """The share of one kind."""
        share: float = getattr(self, kind.value)
        return share


def probe_places(shares: ProbeShares, seed: int, person: str, stop: int) -> dict[int, RegionKind]:
    """The places of a person's sequence below `stop` that hold a probe.

    The sequence is cut into blocks of 1 / share places, and each block holds one probe of the kind at a place drawn by
    chance. So any 200 places in a row hold 200 * share of them, give or take two, while neither the place in a block
    nor the distance to the next one can be guessed: it lies between 1 and 2 / share. Where two kinds fall on one place,
    the one with the larger share moves on to the next free one.

    Args:
        shares: how often.
        seed: of the workspace; who does not know it cannot tell the places.
        person: whose sequence.
        stop: how many places.

    Returns:
        Kind by place, in the order of the places. A larger `stop` only adds places.
    """
    taken: dict[int, RegionKind] = {}
    for kind in sorted(PROBE_KINDS, key=shares.of):
        for place in _drawn(shares.of(kind), _key(seed, person, kind), stop):
            free = int(place)
            while free in taken:
                free += 1
            taken[free] = kind
    return {place: taken[place] for place in sorted(taken) if place < stop}


def probes_before_last(
    shares: ProbeShares, seed: int, person: str, position: int, regions: int, available: Mapping[RegionKind, int]
) -> int:
    """How many probes stand from `position` on before the last of `regions` regions of the queue.

    Together they are what is left for the person, and a region or a probe that is done makes it exactly one less: a
    counter on the screen does not tell them apart.

    Args:
        position: the first place that counts.
        regions: how many regions of the queue are left, from 0 upwards.
        available: how many probes of each kind there are; places for more hold regions of the queue.
    """
    everything = sum(shares.of(kind) for kind in PROBE_KINDS)
    stop = position + int(np.ceil((regions + 2 * len(PROBE_KINDS)) / (1 - everything)))  # Each kind at most one early.
    places, kinds = _sorted_places(shares, seed, person, -(-stop // _CHUNK) * _CHUNK)
    first = int(np.searchsorted(places, position))
    ahead, kinds = places[first:] - position, kinds[first:]
    filled = np.zeros(ahead.size, np.bool_)
    for number, kind in enumerate(PROBE_KINDS):
        filled[np.flatnonzero(kinds == number)[: available.get(kind, 0)]] = True
    ahead = ahead[filled]
    # Between `position` and the k-th probe lie as many regions as places, less the k probes among them.
    return int(np.count_nonzero(ahead - np.arange(ahead.size) < regions))


@lru_cache(maxsize=64)
def _sorted_places(
    shares: ProbeShares, seed: int, person: str, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places and the numbers of their kinds; asked for after every decision, and the same for thousands of them."""
    places = probe_places(shares, seed, person, stop)
    numbers = {kind: number for number, kind in enumerate(PROBE_KINDS)}
    return np.array(list(places), np.int64), np.array([numbers[kind] for kind in places.values()], np.int64)


def _drawn(share: float, key: int, stop: int) -> NDArray[np.int64]:
    """One place in each block of 1 / share places, as long as blocks begin below `stop`."""
    blocks = np.arange(int(np.ceil(stop * share)))
    if blocks.size == 0:
        return blocks
    chance = np.random.default_rng(key).random(blocks.size)
    # The smallest shares have places beyond every integer, all of them far behind `stop`.
    return np.floor(np.minimum((blocks + chance) / max(share, 1e-12), 1e15)).astype(np.int64)


def _key(seed: int, person: str, kind: RegionKind) -> int:
    return int.from_bytes(blake2b(f"{seed}\n{kind}\n{person}".encode(), digest_size=8).digest())


def score_between(above: float | None, below: float, chance: float) -> float:
    """A score with which a probe stands between two neighbors of a list that falls by score.

    Args:
        above: the score before it; None at the head of the list.
        below: the score behind it, from 0 upwards.
        chance: 0-1.
    """
    highest = below * 1.01 if above is None else above
    return below + (0.25 + 0.5 * chance) * (highest - below)
