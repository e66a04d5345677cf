"""A generous limit on writing requests per person, so that one broken script does not slow everybody down."""

import math
import threading
import time
from collections.abc import Callable

AT_ONCE = 1200
"""Writes that may come in one burst: what a browser kept through a long time offline."""
PER_SECOND = 20.0
"""Writes that may go on for ever. A fast annotator makes one a second; both numbers are chosen by us."""


class WriteLimit:
    """A bucket of writes per person that fills up again. Lives in memory: a restart fills all of them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, name: str) -> int:
        """Count one write of a person; 0 when it may happen, else the seconds after which one may."""
        with self._lock:
            now = self._monotonic()
            left, at = self._left.get(name, (float(AT_ONCE), now))
            left = min(AT_ONCE, left + (now - at) * PER_SECOND)
            is_free = left >= 1
            self._left[name] = (left - 1 if is_free else left, now)
            return 0 if is_free else math.ceil((1 - left) / PER_SECOND)
