"""Two answers about one region."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.agreement import agreement_between_people, agreement_with_oneself, cohens_kappa
from app.domain.intervals import counted_share
from app.domain.states import DecisionKind
from tests.unit.action_cases import action, planted

answers = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def said(region_id, user, class_id):
    return action(region_id=region_id, user=user, action=DecisionKind.RELABEL, class_id=class_id)


def test_kappa_of_the_textbook():
    """Two raters, 50 proposals: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no. Observed 0.7, by chance 0.5."""
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)


@given(answers)
def test_kappa_is_at_most_one_and_does_not_depend_on_who_comes_first(pairs):
    kappa = cohens_kappa(pairs)
    assert kappa is None or kappa <= 1
    turned = cohens_kappa([(other, one) for one, other in pairs])
    assert turned == kappa or turned == pytest.approx(kappa)


def test_kappa_of_one_class_only_says_nothing():
    assert cohens_kappa([(2, 2), (2, 2)]) is None and cohens_kappa([]) is None


def test_the_first_answer_is_compared_with_the_last_one_of_somebody_else():
    rows = [said(1, "ann", 2), said(1, "ann", 4), said(1, "ben", 4), said(1, "ben", 2), said(2, "ann", 1)]
    assert agreement_between_people(rows).same == counted_share(1, 1)
    assert agreement_with_oneself(rows).same == counted_share(0, 1)


def test_accepting_is_answering_with_the_predicted_class_and_void_is_an_answer():
    rows = [action(region_id=1, predicted_class=3), said(1, "ben", 3),
            action(region_id=2, action=DecisionKind.VOID), said(2, "ben", 3)]  # fmt: skip
    assert agreement_between_people(rows).same == counted_share(1, 2)


def test_not_knowing_is_no_answer_and_a_drawing_has_no_single_class():
    rows = [
        action(region_id=1, action=DecisionKind.DONT_KNOW), said(1, "ben", 3),
        action(region_id=2, action=DecisionKind.DRAW, closes_region=True), said(2, "ben", 3),
    ]  # fmt: skip
    found = agreement_between_people(rows)
    assert (found.same.trials, found.num_drawn) == (0, 1)


def test_planted_errors_are_left_out():
    rows = [planted(False, region_id=1), planted(True, region_id=1, user="ben")]
    assert agreement_between_people(rows).same.trials == 0


def test_a_persons_pairs_are_those_in_which_one_answer_is_theirs():
    rows = [
        said(1, "ann", 3),
        said(1, "ben", 3),
        said(2, "ben", 3),
        said(2, "cho", 4),
        said(3, "cho", 1),
        said(3, "dan", 1),
    ]
    assert agreement_between_people(rows, "ben").same == counted_share(1, 2)
    assert agreement_between_people(rows, "ann").same == counted_share(1, 1)
    assert agreement_between_people(rows).same == counted_share(2, 3)
