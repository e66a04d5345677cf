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


@dataclass(frozen=True)
class Sampler:
    """Endless passes over `items`, each pass in its own order. Stateless: draw number k is computed from k."""

    items: tuple[int, ...]
    seed: int
    stream: Stream

    def item(self, draw: int) -> int:
        """The item of draw number `draw` (0-based, counted over all processes)."""
        epoch, position = divmod(draw, len(self.items))
        return self.items[int(_order(self.seed, self.stream, epoch, len(self.items))[position])]

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
