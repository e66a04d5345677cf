"""What the comparison was made for, answered in sentences from its numbers: gain, ranking of errors, cost of a step."""

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.matrix_cells import BASELINE, METHODS
from benchmarks.matrix_cost import NAME as COST_NAME
from benchmarks.matrix_results import MethodResults, Results
from benchmarks.matrix_statistics import Counts, Draws, Interval, auroc, auroc_difference, difference, draw

NO_NUMBER = "-"
PLAIN_SCORE, OWN_SCORE = "confidence", "weight"


def answers(results: Results, cost: dict[str, Any] | None) -> Iterator[str]:
    """Three questions, each answered per labeled split."""
    yield "## In short"
    yield ""
    for split in results.splits():
        methods = results.of_split(split)
        yield f"- {split}, is semi-supervised above labels only at equal steps? {gain(methods)}"
        yield f"- {split}, which score ranks errors best? {best_score(methods)}"
        yield f"- {split}, which selection ranks errors best? {best_selection(methods)}"
    yield f"- What does a step cost? {step_cost(cost)}"
    yield ""


def gain(methods: Mapping[str, MethodResults]) -> str:
    """Whether any method is above labels only, with the differences that decide it."""
    if BASELINE not in methods:
        return "**Not answered**: labels only has not been run."
    found = _against_all(methods, methods[BASELINE])
    if not found:
        return "**Not answered**: no method shares a seed with labels only."
    clear = {name: interval for name, interval in found.items() if interval.excludes_zero}
    above = {name: interval for name, interval in clear.items() if interval.value > 0}
    below = {name: interval for name, interval in clear.items() if interval.value < 0}
    worse = f" Below it, interval excludes zero: {_named(below)}." if below else ""
    if above:
        one_seed = all(len(common_seeds(methods[name], methods[BASELINE])) == 1 for name in above)
        yes = "**Yes on one seed**, which cannot tell what other seeds would give," if one_seed else "**Yes**"
        return f"{yes} for {len(above)} of {len(found)} methods: {_named(above)} points of mIoU.{worse}"
    best = max(found, key=lambda name: found[name].value)
    return (
        f"**Not shown**: none of {len(found)} methods has an interval above zero. Largest difference: "
        f"{_named({best: found[best]})} points of mIoU.{worse}"
    )


def best_score(methods: Mapping[str, MethodResults]) -> str:
    """The score with the highest AUROC, mean over the methods, and how sure each is before or behind the plain one."""
    scores = [name for name in _scores(methods) if name != OWN_SCORE]
    means = {score: statistics.fmean(_auroc(method, score) for method in methods.values()) for score in scores}
    order = sorted(scores, key=lambda score: means[score], reverse=True)
    return f"**{order[0]}**. AUROC as the mean over the methods: " + ", ".join(
        f"{score} {means[score]:.3f}{'' if score == PLAIN_SCORE else _beside_plain(methods, score)}" for score in order
    ) + "."  # fmt: skip


def _beside_plain(methods: Mapping[str, MethodResults], score: str) -> str:
    gaps = [_score_gap(method, score, PLAIN_SCORE) for method in methods.values()]
    above, below = sum(gap.low > 0 for gap in gaps), sum(gap.high < 0 for gap in gaps)
    sure = [f"{word} {PLAIN_SCORE} for {count}" for word, count in (("above", above), ("below", below)) if count]
    return f" ({', '.join(sure) or f'not told from {PLAIN_SCORE} for any'} of {len(gaps)})"


def best_selection(methods: Mapping[str, MethodResults]) -> str:
    """The selection whose own weight has the highest AUROC, against the next one and against plain confidence.

    Only on seeds that all the selections named have: the seed that most of them have, and what else they share.
    """
    compared, seeds = _most_shared({name: method for name, method in methods.items() if name != BASELINE})
    if not compared:
        return "**Not answered**: no semi-supervised method has been run."
    own = {name: float(auroc(_own_counts(method, seeds)).mean()) for name, method in compared.items()}
    first, *others = sorted(own, key=lambda name: own[name], reverse=True)
    sentence = f"By its own weight **{METHODS[first].title}**, AUROC {own[first]:.3f}"
    if others:
        ours, theirs = (compared[name].score_counts(OWN_SCORE, seeds) for name in (first, others[0]))
        gap = auroc_difference(ours, theirs, draws_of(compared[first], seeds))
        sentence += f", before {METHODS[others[0]].title} with {own[others[0]]:.3f} (difference {_decimals(gap)})"
    gaps = {name: _score_gap(method, OWN_SCORE, PLAIN_SCORE, seeds) for name, method in compared.items()}
    worse = sum(gap.high < 0 for gap in gaps.values())
    return (
        f"{sentence}; seeds {', '.join(map(str, seeds))}. Each judges the errors of its own student. The weight ranks "
        f"worse than the plain {PLAIN_SCORE} of the same student, interval below zero, for {worse} of {len(gaps)} "
        f"(difference for {METHODS[first].title}: {_decimals(gaps[first])})."
    )


def _most_shared(methods: Mapping[str, MethodResults]) -> tuple[dict[str, MethodResults], tuple[int, ...]]:
    """The methods that have the seed most of them have, and all seeds that those share."""
    counts = Counter(seed for method in methods.values() for seed in method.seeds)
    if not counts:
        return {}, ()
    wanted = min(counts, key=lambda seed: (-counts[seed], seed))
    chosen = {name: method for name, method in methods.items() if wanted in method.seeds}
    shared = set.intersection(*(set(method.seeds) for method in chosen.values()))
    return chosen, tuple(sorted(shared))


def _own_counts(method: MethodResults, seeds: tuple[int, ...]) -> Counts:
    """(S, bins, 2) right and wrong pixels by the method's own weight, over all blocks."""
    summed: Counts = method.score_counts(OWN_SCORE, seeds).sum(axis=1)
    return summed


def step_cost(cost: dict[str, Any] | None) -> str:
    """Time of a step as a multiple of a labels-only step, from steps taken in turns."""
    if cost is None:
        return (
            "**Not measured.** `python -m benchmarks.matrix_cost` times all methods in turns; the cells' own times lie "
            "hours apart and hold whatever else the machine did."
        )
    ratios = [
        f"{METHODS[name].title} {row['ratio']:.2f} [{low:.2f}, {high:.2f}]"
        for name, row in cost["summary"].items()
        if name != BASELINE
        for low, high in [cost["ratio_quartiles"][name]]
    ]
    facts, turns = cost["facts"], len(cost["seconds"][BASELINE])
    return (
        f"As a multiple of a labels-only step, median and middle half of {turns} turns on {facts['device']} "
        f"({facts['precision']}): {', '.join(ratios)}. Where middle halves overlap, nothing is told apart. "
        "A labels-only step sees half of the images."
    )


def read_cost(folder: Path) -> dict[str, Any] | None:
    """What benchmarks/matrix_cost.py measured, or None.

    Raises:
        ValueError: the file is damaged or lacks something; names it.
    """
    path = folder / f"{COST_NAME}.json"
    if not path.is_file():
        return None
    try:
        cost: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = [cost[key] for key in ("summary", "ratio_quartiles", "facts")], cost["seconds"][BASELINE]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a result of benchmarks.matrix_cost ({error!r}); remove or repeat it"
        ) from error
    return cost


def against(method: MethodResults, other: MethodResults | None) -> Interval | None:
    """Difference in mIoU over the seeds that both have; None against itself or without a common seed."""
    if other is None or other.method == method.method:
        return None
    seeds = common_seeds(method, other)
    if not seeds:
        return None
    return difference(method.confusion(seeds), other.confusion(seeds), draws_of(method, seeds))


def common_seeds(method: MethodResults, other: MethodResults) -> tuple[int, ...]:
    """Seeds that both have, in the order of the first."""
    return tuple(seed for seed in method.seeds if seed in other.seeds)


def draws_of(method: MethodResults, seeds: tuple[int, ...]) -> Draws:
    """The resamples for a method's blocks and some of its seeds."""
    return draw(len(next(iter(method.cells.values()))["blocks"]["names"]), len(seeds))


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def signed(interval: Interval | None) -> str:
    """A difference with its interval, in points."""
    if interval is None:
        return NO_NUMBER
    return f"{points(interval.value)} [{points(interval.low)}, {points(interval.high)}]"


def _against_all(methods: Mapping[str, MethodResults], other: MethodResults) -> dict[str, Interval]:
    return {name: interval for name, method in methods.items() if (interval := against(method, other)) is not None}


def _named(intervals: Mapping[str, Interval]) -> str:
    return ", ".join(f"{METHODS[name].title} {signed(interval)}" for name, interval in intervals.items())


def _scores(methods: Mapping[str, MethodResults]) -> list[str]:
    return list(next(iter(next(iter(methods.values())).cells.values()))["test"]["reliability"])


def _auroc(method: MethodResults, score: str) -> float:
    value = method.score(score, "auroc")
    return 0.0 if value is None else value


def _score_gap(method: MethodResults, ours: str, theirs: str, seeds: tuple[int, ...] = ()) -> Interval:
    seeds = seeds or method.seeds
    return auroc_difference(
        method.score_counts(ours, seeds), method.score_counts(theirs, seeds), draws_of(method, seeds)
    )


def _decimals(interval: Interval) -> str:
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
