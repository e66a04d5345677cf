"""How the work on a detector tells how far it is and learns that it should stop."""

from collections.abc import Callable
from dataclasses import dataclass

from training.signals import StopFlag


@dataclass(frozen=True)
class Watch:
    """What a long piece of work calls.

    Attributes:
        show: what is done, finished units, all units.
        stop: looked at after every unit.
    """

    show: Callable[[str, int, int], None]
    stop: StopFlag
