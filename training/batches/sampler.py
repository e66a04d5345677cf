"""Which item comes when, and with which random numbers: a function of seed and draw alone."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Batch = TypeVar("Batch")


class Stream(IntEnum):
    """What a random number is for; keeps the streams independent."""

    LABELED = 0
    UNLABELED = 1
    STEP = 3
    DETECTOR = 4


@functools.lru_cache(maxsize=8)
def _order(seed: int, stream: Stream, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of one pass over `count` items."""
    return np.random.default_rng([seed, stream, 0, epoch]).permutation(count)


def pass_length(shares: tuple[float, ...]) -> int:
    """Draws of one pass over items that come in these shares of all passes: their sum, at least 1."""
    return max(1, round(sum(shares)))


def _start(seed: int, stream: Stream, epoch: int) -> float:
    """Where a pass's points begin, in [0, 1)."""
    return float(np.random.default_rng([seed, stream, 2, epoch]).random())


@dataclass(frozen=True)
class Sampler:
    """Endless passes over `items`, each pass in its own order. Stateless: draw number k is computed from k.

    Attributes:
        items: what is drawn.
        seed, stream: of the random numbers.
        shares: per item, in (0, 1]: in how many of all passes it comes; None: in every one. Points at equal distances
            with a random start choose a pass's items (systematic sampling, Madow 1949), so that the number of draws per
            pass does not vary.
    """

    items: tuple[int, ...]
    seed: int
    stream: Stream
    shares: tuple[float, ...] | None = None

    @functools.cached_property
    def pass_length(self) -> int:
        """Draws per pass."""
        return len(self.items) if self.shares is None else pass_length(self.shares)

    @functools.cached_property
    def _ends(self) -> NDArray[np.float64]:
        """Where each item's stretch ends when the shares are laid end to end."""
        return np.cumsum(np.ones(len(self.items)) if self.shares is None else self.shares)

    def item(self, draw: int) -> int:
        """The item of draw number `draw` (0-based, counted over all processes)."""
        epoch, position = divmod(draw, self.pass_length)
        chosen = int(_order(self.seed, self.stream, epoch, self.pass_length)[position])
        if self.shares is None:
            return self.items[chosen]
        point = (chosen + _start(self.seed, self.stream, epoch)) * self._ends[-1] / self.pass_length
        return self.items[min(int(np.searchsorted(self._ends, point, side="right")), len(self.items) - 1)]

    def rng(self, draw: int) -> np.random.Generator:
        """Random numbers for the views of draw number `draw`."""
        return np.random.default_rng([self.seed, self.stream, 1, draw])


def on_tensors(value: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The same batch with every tensor in it changed: inside dataclasses and tuples; anything else stays."""
    changed: Any = value
    if isinstance(value, Tensor):
        changed = change(value)
    elif isinstance(value, tuple):
        changed = tuple(on_tensors(item, change) for item in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {item.name: on_tensors(getattr(value, item.name), change) for item in dataclasses.fields(value)}
        changed = dataclasses.replace(value, **parts)
    return changed  # type: ignore[no-any-return]
