"""How long somebody waits after wrong passwords. Works with clocks that were set back or forward."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Delays:
    """How waiting grows: not at all for the first failures, then doubling. The numbers are chosen by us.

    Attributes:
        free: failures without any wait.
        first_s: wait after the first failure beyond, in seconds.
        longest_s: the wait never grows beyond this.
        forgotten_after_s: a pause this long without a failure makes the count start again.
    """

    free: int
    first_s: float
    longest_s: float
    forgotten_after_s: float = 86_400.0


PER_NAME = Delays(free=4, first_s=2.0, longest_s=300.0)
"""Five minutes at most: whoever fails on purpose must not keep a person out for long."""
PER_ADDRESS = Delays(free=20, first_s=2.0, longest_s=900.0)
"""More are free: a whole team may share one address."""


@dataclass(frozen=True)
class Failures:
    """Failures in a row, and when the last one was."""

    number: int
    last_at: datetime


def wait_s(failures: Failures | None, now: datetime, delays: Delays) -> float:
    """Seconds until the next attempt is looked at; 0 when it may come now.

    Where the clock was set back, the last failure lies in the future: see `rebased`.
    """
    if failures is None or failures.number <= delays.free:
        return 0.0
    passed_s = max(0.0, (now - failures.last_at).total_seconds())
    doublings = min(failures.number - delays.free - 1, 32)
    return max(0.0, min(delays.first_s * 2.0**doublings, delays.longest_s) - passed_s)


def rebased(failures: Failures, now: datetime) -> Failures:
    """The same failures, none of them in the future: after a clock was set back the wait starts anew, and is no longer
    than its number asks for. To be stored, or it would start anew forever."""
    return failures if failures.last_at <= now else Failures(failures.number, now)


def one_more(failures: Failures | None, now: datetime, delays: Delays) -> Failures:
    """After another failure."""
    if failures is None or now - failures.last_at > timedelta(seconds=delays.forgotten_after_s):
        return Failures(1, now)
    return Failures(failures.number + 1, now)
