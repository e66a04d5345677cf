"""Whether people say the same about a region that was decided twice."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.domain.actions import Action
from app.domain.intervals import CountedShare, counted_share
from app.domain.states import DecisionKind, RegionKind
from datasets.labels import IGNORE_INDEX


@dataclass(frozen=True)
class Agreement:
    """Two answers about the same region.

    Attributes:
        same: regions about which both said the same, of those with two answers.
        kappa: Cohen's kappa: agreement beyond what two people reach who answer by chance with the same habits; 1 is
            full agreement, 0 is chance. None without pairs, or when both always said the same one class. Source: Cohen
            1960, "A coefficient of agreement for nominal scales", Educ. Psychol. Meas. 20.
        num_drawn: pairs left out because one answer was a drawing, which has no single class.
    """

    same: CountedShare
    kappa: float | None
    num_drawn: int


def agreement_between_people(actions: Sequence[Action], person: str | None = None) -> Agreement:
    """Regions that two people decided: the first answer against the last one of somebody else.

    Args:
        actions: that count, oldest first.
        person: only pairs in which one answer is this person's.
    """

    def is_pair(first: Action, other: Action) -> bool:
        return first.user != other.user and person in (None, first.user, other.user)

    return _agreement(_pairs(actions, is_pair))


def agreement_with_oneself(actions: Sequence[Action]) -> Agreement:
    """Regions that one person decided more than once: the first answer against the last one."""
    return _agreement(_pairs(actions, lambda first, other: first.user == other.user))


def cohens_kappa(pairs: Sequence[tuple[int, int]]) -> float | None:
    """See `Agreement`."""
    if not pairs:
        return None
    total = len(pairs)
    observed = sum(one == other for one, other in pairs) / total
    by_chance = sum(
        sum(one == answer for one, _ in pairs) * sum(other == answer for _, other in pairs)
        for answer in {answer for pair in pairs for answer in pair}
    ) / (total * total)
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def _agreement(pairs: Sequence[tuple[int | None, int | None]]) -> Agreement:
    answered = [(one, other) for one, other in pairs if one is not None and other is not None]
    same = counted_share(sum(one == other for one, other in answered), len(answered))
    return Agreement(same, cohens_kappa(answered), len(pairs) - len(answered))


def _pairs(actions: Iterable[Action], belongs: Callable[[Action, Action], bool]) -> list[tuple[int | None, int | None]]:
    answers: dict[int, list[Action]] = {}
    for each in actions:
        # A planted error is shown with another class than the log says, and a control image with none.
        is_answer = each.closes_region and each.region_kind not in (RegionKind.PLANTED, RegionKind.CONTROL)
        if is_answer and each.region_id is not None:
            answers.setdefault(each.region_id, []).append(each)
    pairs = []
    for first, *later in answers.values():
        others = [each for each in later if belongs(first, each)]
        if others:
            pairs.append((_answer(first), _answer(others[-1])))
    return pairs


def _answer(action: Action) -> int | None:
    """The one class that a decision gives its region; None for a drawing."""
    return {
        DecisionKind.ACCEPT: action.predicted_class,
        DecisionKind.RELABEL: action.class_id,
        DecisionKind.VOID: IGNORE_INDEX,
    }.get(action.action)
