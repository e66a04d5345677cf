"""Who may do what."""

import pytest

from app.domain.roles import ALLOWED, IN_WORDS, Permission, Role, permission_for_job, permits


def test_every_permission_says_who_has_it():
    assert set(ALLOWED) == set(Permission)


def test_every_permission_has_words_that_people_read():
    assert set(IN_WORDS) == set(Permission)
    assert not any("_" in words for words in IN_WORDS.values())


@pytest.mark.parametrize("permission", Permission)
def test_a_lead_may_do_everything(permission):
    assert permits(Role.LEAD, permission)


def test_an_annotator_may_only_review_and_see_how_the_models_are():
    assert {permission for permission in Permission if permits(Role.ANNOTATOR, permission)} == {
        Permission.USE, Permission.REVIEW, Permission.SEE_MODELS,
    }  # fmt: skip


def test_an_engineer_does_not_choose_the_model_or_see_who_was_tested():
    refused = {permission for permission in Permission if not permits(Role.ENGINEER, permission)}
    assert refused == {Permission.ASSIGN, Permission.PROMOTE, Permission.SEE_QUALITY, Permission.ADMINISTER}


def test_cutting_the_queue_anew_asks_for_what_choosing_a_model_asks_for():
    assert permission_for_job("recut") is Permission.PROMOTE
    assert permission_for_job("predict") is Permission.RUN_JOBS
