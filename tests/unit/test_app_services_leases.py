"""One person, in one tab, works on an image at a time."""

import pytest

from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind
from app.services.audit import AuditFilter, list_entries
from app.services.leases import LIFE_S, HeldError, LeaseService
from app.services.review_types import NotFoundError
from tests.unit.made_workspace import Reviewer, copy_store, make_template

ANN, BOB, REA = Actor("ann", Role.ANNOTATOR), Actor("bob", Role.ANNOTATOR), Actor("rea", Role.REVIEWER)


class Clock:
    """A monotonic clock that the test moves."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(ann, clock):
    return LeaseService(ann.store, clock)


@pytest.fixture
def image_id(ann):
    return ann.region().row.image_id


def test_the_first_tab_works_and_the_next_person_learns_who(leases, image_id):
    assert leases.hold(ANN, "a", image_id).is_mine
    seen = leases.hold(BOB, "b", image_id)
    assert (seen.holder, seen.is_mine, seen.is_same_person, seen.may_take_over) == ("ann", False, False, False)


def test_another_tab_of_the_same_person_only_looks_until_it_is_used(leases, image_id):
    leases.hold(ANN, "a", image_id)
    second = leases.hold(ANN, "a2", image_id)
    assert (second.is_mine, second.is_same_person, second.may_take_over) == (False, True, True)
    assert leases.hold(ANN, "a2", image_id, take_over=True).is_mine
    assert not leases.hold(ANN, "a", image_id).is_mine


def test_of_a_persons_own_tabs_the_latest_works_and_signs_of_life_do_not_take_it_back(leases, image_id):
    leases.hold(ANN, "a", image_id, opens=True)
    assert leases.hold(ANN, "a2", image_id, opens=True).is_mine
    assert not leases.hold(ANN, "a", image_id).is_mine
    assert not leases.hold(BOB, "b", image_id, opens=True).is_mine


def test_an_annotator_cannot_take_an_image_from_somebody_who_is_there(leases, image_id):
    leases.hold(ANN, "a", image_id)
    assert not leases.hold(BOB, "b", image_id, take_over=True).is_mine
    assert leases.hold(ANN, "a", image_id).is_mine


def test_a_reviewer_takes_over_at_once_and_the_audit_log_says_from_whom(ann, leases, image_id):
    leases.hold(ANN, "a", image_id)
    assert leases.hold(REA, "r", image_id, take_over=True).is_mine
    assert not leases.hold(ANN, "a", image_id).is_mine
    (entry,) = list_entries(ann.store, AuditFilter(), 5)
    assert (entry.actor, entry.action, entry.details["from"]) == ("rea", "takeover", "ann")


def test_a_lease_without_signs_of_life_is_over(leases, clock, image_id):
    leases.hold(ANN, "a", image_id)
    assert not leases.hold(BOB, "b", image_id).is_mine
    clock.now += LIFE_S + 1
    assert leases.hold(BOB, "b", image_id).is_mine


def test_signs_of_life_keep_a_lease(leases, clock, image_id):
    leases.hold(ANN, "a", image_id)
    for _ in range(5):
        clock.now += LIFE_S - 1
        leases.hold(ANN, "a", image_id)
        assert not leases.hold(BOB, "b", image_id).is_mine


def test_after_a_restart_a_lease_still_lasts(ann, leases, image_id):
    leases.hold(ANN, "a", image_id)
    restarted = LeaseService(ann.store, Clock())
    assert not restarted.hold(BOB, "b", image_id).is_mine


def test_a_released_image_is_free_and_only_its_holder_releases_it(leases, image_id):
    leases.hold(ANN, "a", image_id)
    leases.release(BOB, "b", image_id)
    assert not leases.hold(BOB, "b", image_id).is_mine
    leases.release(ANN, "a", image_id)
    assert leases.hold(BOB, "b", image_id).is_mine


def test_nobody_is_given_regions_of_an_image_on_which_somebody_works(leases, image_id):
    leases.hold(ANN, "a", image_id)
    assert leases.held_by_others("bob") == {image_id}
    assert leases.held_by_others("ann") == frozenset()


def test_an_image_left_long_ago_is_free_for_whoever_asks_first(leases, clock, image_id):
    leases.hold(ANN, "a", image_id)
    leases.hold(ANN, "a", image_id)
    clock.now += LIFE_S - 1
    assert leases.holders("bob") == {image_id: "ann"}
    clock.now += 1
    assert leases.holders("bob") == {}


def test_what_somebody_does_next_is_kept_from_others_as_long_as_that_person_gives_signs_of_life(
    leases, clock, image_id
):
    leases.keep_ahead("ann", [1, 2])
    assert (leases.kept_for_others("bob"), leases.kept_for_others("ann")) == ({1, 2}, frozenset())
    clock.now += LIFE_S - 1
    leases.hold(ANN, "a", image_id)
    clock.now += LIFE_S - 1
    assert leases.kept_for_others("bob") == {1, 2}
    leases.keep_ahead("ann", [3])
    assert leases.kept_for_others("bob") == {3}
    clock.now += LIFE_S
    assert leases.kept_for_others("bob") == frozenset()


def test_what_would_change_a_held_image_is_refused_with_who_and_since_when(leases, image_id):
    leases.hold(ANN, "a", image_id)
    leases.require_free("ann", image_id, "op")
    with pytest.raises(HeldError, match=r"ann works on this image since \d\d:\d\d UTC, so nothing was saved"):
        leases.require_free("bob", image_id, "op")


def test_a_decision_that_is_stored_passes_though_its_answer_was_lost(ann, leases):
    view = ann.region()
    result = ann.decide(DecisionKind.ACCEPT, view)
    leases.hold(BOB, "b", view.row.image_id)
    leases.require_free("ann", view.row.image_id, result.op_id)


def test_an_image_that_is_not_there_cannot_be_held(leases):
    with pytest.raises(NotFoundError, match="no image 9999"):
        leases.hold(ANN, "a", 9999)
