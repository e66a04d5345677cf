"""Where probes stand in what a person is given."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.mixing import LARGEST_SHARE, ProbeShares, probe_places, probes_before_last
from app.domain.states import PROBE_KINDS, RegionKind

USUAL = ProbeShares(audit=0.05, planted=0.04, control=0.003)
any_share = st.floats(0, LARGEST_SHARE)
any_shares = st.builds(ProbeShares, any_share, any_share, any_share)
seeds = st.integers(0, 2**31)


@settings(max_examples=60, deadline=None)
@given(any_shares, seeds, st.integers(0, 3000))
def test_any_200_places_in_a_row_hold_the_shares_give_or_take_two(shares, seed, start):
    places = probe_places(shares, seed, "ann", start + 200)
    found = Counter(kind for place, kind in places.items() if place >= start)
    for kind in PROBE_KINDS:
        assert abs(found[kind] - 200 * shares.of(kind)) <= 2, kind


def test_the_usual_shares_are_ten_audits_and_eight_planted_errors_in_200():
    places = probe_places(USUAL, 7, "ann", 10_000)
    for start in range(0, 9800, 37):
        found = Counter(kind for place, kind in places.items() if start <= place < start + 200)
        assert 8 <= found[RegionKind.AUDIT] <= 12 and 6 <= found[RegionKind.PLANTED] <= 10


@settings(max_examples=30, deadline=None)
@given(any_shares, seeds, st.integers(1, 2000), st.integers(0, 2000))
def test_looking_further_ahead_moves_nothing(shares, seed, stop, further):
    near, far = probe_places(shares, seed, "ann", stop), probe_places(shares, seed, "ann", stop + further)
    assert near == {place: kind for place, kind in far.items() if place < stop}


def test_the_same_seed_and_person_have_the_same_places():
    assert probe_places(USUAL, 1, "ann", 5000) == probe_places(USUAL, 1, "ann", 5000)


@pytest.mark.parametrize(("seed", "person"), [(2, "ann"), (1, "ben"), (1, "ann ")])
def test_another_seed_or_person_has_other_places(seed, person):
    places, others = probe_places(USUAL, 1, "ann", 5000), probe_places(USUAL, seed, person, 5000)
    common = set(places) & set(others)
    assert len(common) < 0.2 * len(places)


def test_neither_the_place_in_a_block_nor_the_distance_to_the_next_repeats():
    """A pattern would show as a preferred remainder or distance; chance alone leaves each as frequent as the others."""
    only_planted = ProbeShares(audit=0, planted=0.04, control=0)
    places = np.array(list(probe_places(only_planted, 3, "ann", 100_000)))
    in_block = np.bincount(places % 25, minlength=25)
    assert in_block.min() > 100 and in_block.max() < 230  # 160 are expected, with a deviation of 12.
    distances = np.bincount(np.diff(places))
    assert distances.max() < 0.06 * len(places) and np.count_nonzero(distances) > 40
    neighbors = np.corrcoef(np.diff(places)[:-2], np.diff(places)[2:])[0, 1]
    assert abs(neighbors) < 0.05


def test_no_share_is_no_probe():
    assert probe_places(ProbeShares(0, 0, 0), 1, "ann", 1000) == {}


def test_two_kinds_never_stand_on_one_place_and_none_is_lost():
    crowded = ProbeShares(audit=0.2, planted=0.2, control=0.2)
    places = probe_places(crowded, 5, "ann", 5000)
    assert Counter(places.values()) == pytest.approx(dict.fromkeys(PROBE_KINDS, 1000), abs=2)


@settings(max_examples=40, deadline=None)
@given(
    any_shares, seeds, st.integers(0, 500), st.integers(1, 300),
    st.fixed_dictionaries({kind: st.integers(0, 60) for kind in PROBE_KINDS}),
)  # fmt: skip
def test_each_finished_place_leaves_exactly_one_less(shares, seed, position, regions, available):
    """Whoever watches the counter cannot tell a probe from a region of the queue."""
    places = probe_places(shares, seed, "ann", position + 3000)
    left = regions + probes_before_last(shares, seed, "ann", position, regions, available)
    while left > 0:
        kind = places.get(position)
        if kind is not None and available[kind] > 0:
            available[kind] -= 1
        else:
            regions -= 1
        position += 1
        left -= 1
        assert left == regions + probes_before_last(shares, seed, "ann", position, regions, available)
    assert regions == 0


@pytest.mark.parametrize("share", [-0.01, LARGEST_SHARE + 0.01])
@pytest.mark.parametrize("kind", PROBE_KINDS)
def test_a_share_outside_its_range_is_refused(kind, share):
    with pytest.raises(ValueError, match=f"the share of {kind} regions must be 0-0.2"):
        ProbeShares(**{**dict.fromkeys(("audit", "planted", "control"), 0.0), kind.value: share})
