"""Where audits and control images stand among the regions of the queue: evenly, by chance, and nobody can tell where.

They get their places once, when the queue is made, and stand in everybody's list from then on. A region that appeared
in one person's list later than its neighbors, or in a picture and in no list, would say what it is.
"""

import numpy as np

LARGEST_SHARE = 0.2
"""Of one kind of probe. More would leave little of the queue."""

ASKED_REGARDLESS = 0.2
"""Share of all regions that are asked however little is left in their image, as audits are: without any, a region that
is asked in an image that is good enough would be an audit. With them about one in five is. Chosen by us."""


def number_needed(share: float, regions: int, chance: float) -> int:
    """How many probes beside `regions` others are this share of all, on average over many queues.

    Args:
        share: 0 to LARGEST_SHARE.
        regions: from 0 upwards.
        chance: 0-1, which decides about the fraction.
    """
    return int(share / (1 - share) * regions + chance)


def spread_places(number: int, regions: int, rng: np.random.Generator) -> list[int]:
    """Before which regions of the queue probes stand, in its order.

    The queue is cut into as many equal stretches, and each holds one probe at a place drawn by chance. So every part
    of the queue holds their share give or take two, while the distance to the next one cannot be guessed: it lies
    between nothing and two stretches.

    Args:
        number: of probes, from 0 upwards.
        regions: in the queue, from 0 upwards.
        rng: the source of chance.

    Returns:
        `number` places from 0 to `regions`, never falling: `p` stands for between the p-th region and the one before.
    """
    if number == 0:
        return []
    chance = rng.random(number)
    return [int((index + chance[index]) * regions / number) for index in range(number)]


def score_between(above: float | None, below: float | None, chance: float) -> float:
    """A score with which a probe stands between two neighbors of a list that falls by score.

    Args:
        above: the score before it; None at the head of the list.
        below: the score behind it, from 0 upwards; None at the end of the list.
        chance: 0-1.
    """
    lowest = 0.99 * (above or 0.0) if below is None else below
    highest = lowest * 1.01 if above is None else above
    return lowest + (0.25 + 0.5 * chance) * (highest - lowest)
