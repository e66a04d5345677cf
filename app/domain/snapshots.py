"""Which snapshots stay: the newest ones, and one of each of the weeks before."""

from collections.abc import Mapping
from datetime import datetime

NEWEST = 10
WEEKS = 8


def kept_snapshots(made: Mapping[int, datetime]) -> set[int]:
    """The newest `NEWEST`, and the newest of each of the `WEEKS` latest calendar weeks in which any was made.

    Order is by number. Times only say which ones belong to one week, so a clock that was wrong removes nothing early.

    Args:
        made: number of each snapshot -> when it was made.

    Returns:
        Numbers to keep.
    """
    numbers = sorted(made, reverse=True)
    newest_of_week: dict[tuple[int, int], int] = {}
    for number in numbers:
        newest_of_week.setdefault(made[number].isocalendar()[:2], number)
    return {*numbers[:NEWEST], *list(newest_of_week.values())[:WEEKS]}
