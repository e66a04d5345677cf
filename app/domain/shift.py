"""Whether images look unlike the gold images to the model: a promise is about images like gold, and about no others.

Only what the model says about an image, and how the picture looks, is compared, because nobody knows the errors of the
pool. So an image can look like gold and still be worse, and what is unlike need not be.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FALSE_ALARMS = 0.05
"""Share of images like gold that are called unlike all the same. Chosen by us."""

GROUP_FALSE_ALARMS = 0.01
"""Chance that a pool like gold is called unlike as a whole. Chosen by us."""

ENOUGH_GOLD = round(1 / FALSE_ALARMS) - 1
"""Gold images from which a single image can be told apart: the smallest p-value with n of them is 1 / (n + 1)."""

_NEIGHBORS = 3
"""Chosen by us: one neighbor would be misled by a single odd gold image."""

_VIEWS = (slice(0, 2), slice(2, None))
"""Columns of the statistics: what the model file says, and how the picture looks."""

NUM_SEEN = 7
"""Statistics of an image: two of the model, five of `appearance_of`."""

_PERMUTATIONS, _LARGEST_POOL = 999, 2000
"""Of the test over the pool, and images of it that are drawn for that test: together about a second."""

_AT_ONCE = 1000
"""Images of the pool whose distances to gold are in memory together."""

_SEED = 0


@dataclass(frozen=True)
class Shift:
    """How a pool looks beside gold.

    Attributes:
        gold: gold images that were looked at.
        pool: images of the pool that were.
        unlike: of these, images that look unlike gold; None where gold is too small to tell.
        by_chance: images that would be called unlike if all were like gold.
        is_pool_unlike: whether the pool as a whole looks unlike gold.
        gold_coverage: share of the pixels that the model file calls reliable, mean over gold images; None without.
        pool_coverage: the same over the pool.
        are_frames: neighbors in a video are alike, so that alarms by chance come in groups.
    """

    gold: int
    pool: int
    unlike: int | None
    by_chance: float
    is_pool_unlike: bool
    gold_coverage: float | None
    pool_coverage: float | None
    are_frames: bool = False

    @property
    def is_alarm(self) -> bool:
        """Whether more is unlike gold than chance explains."""
        return self.is_pool_unlike or (self.unlike or 0) > 3 * max(self.by_chance, 1)

    @property
    def sentence(self) -> str:
        """For people."""
        if self.gold_coverage is None or self.pool_coverage is None:
            return (
                "Nothing says whether the pool is like the gold images: there are none, or model and pool were "
                "measured before that was noted (pixelsieve models measure looks at gold again)."
            )
        means = f"reliable by the model file: {self.pool_coverage:.0%} of the pool, {self.gold_coverage:.0%} of gold"
        whole = "The pool as a whole looks" if self.is_pool_unlike else "The pool as a whole does not look"
        return f"{self._images} {whole} unlike gold ({means}). {self._so}"

    @property
    def _images(self) -> str:
        if self.unlike is None:
            return (
                f"{self.gold} gold images are too few to tell single images of the pool apart; it takes {ENOUGH_GOLD}."
            )
        return (
            f"{self.unlike} of {self.pool} images of the pool look unlike the {self.gold} gold images; chance alone "
            f"makes it about {self.by_chance:.0f}{', more where neighboring frames are alike' * self.are_frames}."
        )

    @property
    def _so(self) -> str:
        if self.is_alarm:
            return (
                "No promise covers images of another kind: audit them, or label some of them and import these as gold."
            )
        return "A shift can go unnoticed: nobody knows what is right in the pool."


def appearance_of(image_u8: NDArray[np.uint8]) -> tuple[float, ...]:
    """How a picture looks, as shares of the largest value: mean of each color, contrast and sharpness.

    Contrast is the standard deviation over pixels, sharpness the mean difference of neighbors, both of the mean of the
    three colors. Chosen by us: other cameras, weather, seasons and scanners show in them.

    Args:
        image_u8: (H, W, 3), H and W at least 2.
    """
    gray = image_u8.mean(axis=2, dtype=np.float32)
    sharpness = sum(float(np.abs(np.diff(gray, axis=axis)).mean()) for axis in (0, 1)) / 2
    return (*(float(each) / 255 for each in image_u8.mean(axis=(0, 1))), float(gray.std()) / 255, sharpness / 255)


def judge_shift(gold: NDArray[np.float64], pool: NDArray[np.float64], are_frames: bool = False) -> Shift:
    """Compare images of the pool with gold.

    Args:
        gold: (n, NUM_SEEN) by image: share of pixels that the model file calls reliable, mean probability of being
            wrong, and `appearance_of` the picture.
        pool: (N, NUM_SEEN) the same of the pool.
        are_frames: as in `Shift`.
    """
    can_tell = len(gold) >= ENOUGH_GOLD and len(pool) > 0
    unlike = int((unlike_p_values(gold, pool) <= FALSE_ALARMS).sum()) if can_tell else None
    has_both = len(gold) > 0 and len(pool) > 0
    return Shift(
        gold=len(gold),
        pool=len(pool),
        unlike=unlike,
        by_chance=FALSE_ALARMS * len(pool),
        is_pool_unlike=has_both and group_p_value(gold, pool) <= GROUP_FALSE_ALARMS,
        gold_coverage=float(gold[:, 0].mean()) if has_both else None,
        pool_coverage=float(pool[:, 0].mean()) if has_both else None,
        are_frames=are_frames,
    )


def unlike_p_values(gold: NDArray[np.float64], pool: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) one p-value per image of the pool: at most `a` with a probability of at most `a` if it is like gold.

    Each image is put among the gold images, and every one of these n + 1 is scored by how far it lies from its
    `_NEIGHBORS` nearest, on log odds, in the view of `_VIEWS` in which that is most beside their median; its rank among
    them is the image's p-value. The score treats all of them alike, so the rank of an exchangeable one is uniform, ties
    counted against an alarm.

    Args:
        gold: (n, S) shares by image, n > 0.
        pool: (N, S) the same.

    Source: full conformal prediction, Vovk, Gammerman and Shafer 2005, chapter 2.
    """
    scores = np.max([_farness(gold[:, view], pool[:, view]) for view in _VIEWS], axis=0)  # (N, n + 1)
    found: NDArray[np.float64] = (scores >= scores[:, -1:] - 1e-12).mean(axis=1)
    return found


def _farness(gold: NDArray[np.float64], pool: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, n + 1): for each image of the pool, how far all gold images and, last, itself lie from their neighbors."""
    known, asked = _log_odds(gold), _log_odds(pool)
    among = _distances_between(known, known)
    np.fill_diagonal(among, np.inf)
    nearest = np.sort(among, axis=1)[:, :_NEIGHBORS]  # (n, k) to other gold images
    rows = np.zeros((len(pool), len(gold) + 1))
    for start in range(0, len(pool), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        to_gold = _distances_between(asked[start : start + _AT_ONCE], known)  # (A, n)
        # One more neighbor takes the place of the farthest one, where it is nearer.
        part[:, :-1] = nearest[:, :-1].sum(axis=1) + np.minimum(nearest[:, -1], to_gold)
        part[:, -1] = np.sort(to_gold, axis=1)[:, :_NEIGHBORS].sum(axis=1)
        part /= np.maximum(np.median(part, axis=1, keepdims=True), 1e-9)
    return rows


def _log_odds(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for all images, whatever the others are: a share of 0.1 % is as far as it goes."""
    inside = np.clip(shares, 0.001, 0.999)
    found: NDArray[np.float64] = np.log(inside / (1 - inside))
    return found


def _distances_between(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, n) for (N, S) and (n, S)."""
    found: NDArray[np.float64] = np.linalg.norm(some[:, np.newaxis] - others, axis=2)
    return found


def group_p_value(gold: NDArray[np.float64], pool: NDArray[np.float64]) -> float:
    """A p-value for the pool and gold being alike, whatever their number: a permutation test.

    The distance is that of Kolmogorov and Smirnov, in the statistic in which it is largest; gold and pool are mixed by
    chance as often as `_PERMUTATIONS` says.

    Args:
        gold: (n, S) statistics by image, n > 0.
        pool: (N, S) the same, N > 0.
    """
    rng = np.random.default_rng(_SEED)
    pool = pool if len(pool) <= _LARGEST_POOL else rng.choice(pool, _LARGEST_POOL, replace=False)
    images = np.vstack([gold, pool])
    is_gold = np.arange(len(images)) < len(gold)
    mixed = np.array([is_gold, *(rng.permutation(is_gold) for _ in range(_PERMUTATIONS))])
    distances = np.max([_distances(column, mixed, len(gold)) for column in images.T], axis=0)
    return float((distances >= distances[0] - 1e-12).mean())


def _distances(values: NDArray[np.float64], is_gold: NDArray[np.bool_], num_gold: int) -> NDArray[np.float64]:
    """(P,) largest difference between the distribution functions of gold and the rest, for (P, n) ways to mix."""
    order = np.argsort(values, kind="stable")
    is_last = np.append(np.diff(values[order]) > 0, True)  # Equal values are one step.
    below = np.cumsum(is_gold[:, order], axis=1)
    others = np.arange(1, len(values) + 1) - below
    gaps = np.abs(below / num_gold - others / (len(values) - num_gold))[:, is_last]
    found: NDArray[np.float64] = gaps.max(axis=1)
    return found
