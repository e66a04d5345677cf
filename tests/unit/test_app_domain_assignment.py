"""Sharing images out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.assignment import require_people, share_out


def test_the_largest_images_go_to_different_people_and_the_small_ones_even_it_out():
    assert share_out([1, 9, 8, 2, 2], [0, 0]) == [1, 0, 1, 1, 0]


def test_who_has_work_already_gets_less():
    assert share_out([5, 5, 5], [12, 0]) == [1, 1, 1]


def test_images_without_expected_errors_are_spread_by_number():
    assert sorted(share_out([0, 0, 0, 0], [0, 0])) == [0, 0, 1, 1]


def test_sharing_between_nobody_is_refused():
    with pytest.raises(ValueError, match="at least one person"):
        share_out([1.0], [])


@given(st.lists(st.floats(0, 1e4), max_size=30), st.integers(1, 5))
def test_nobody_has_more_than_the_even_share_and_one_image(loads, people):
    totals = [0.0] * people
    for load, person in zip(loads, share_out(loads, [0.0] * people), strict=True):
        totals[person] += load
    assert max(totals) <= sum(loads) / people + max(loads, default=0.0) + 1e-6


def test_images_go_to_people_with_an_account_and_others_are_told_who_there_is():
    require_people(["ann", "lea"], ["ann", "bob", "lea"])
    with pytest.raises(ValueError, match=r"'ghost' has no account .*nothing was changed\. There are ann, lea\.$"):
        require_people(["ann", "ghost"], ["ann", "lea"])
