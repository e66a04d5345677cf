"""Names, passwords, and who must stay."""

import pytest

from app.domain.people import LastLeadError, Member, check_lead_stays, check_password, normalize_name
from app.domain.roles import Role


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Ann", "ann"), ("  ann ", "ann"), ("ANN.B-c_1@x.org", "ann.b-c_1@x.org"), ("Zoe\u0308", "zoë"),
        ("\uff21nn", "ann"), ("Straße", "strasse"), ("李明", "李明"), ("7", "7"),
    ],
)  # fmt: skip
def test_a_name_has_one_spelling(typed, name):
    assert normalize_name(typed) == name
    assert normalize_name(name) == name


@pytest.mark.parametrize(
    "typed",
    ["", "   ", "a b", "-ann", ".", "an\nn", "ann\u202ebob", "ann/../bob", "<b>", "x" * 65, "ann\x00", "ann\u200bb"],
)
def test_what_is_no_name_is_refused(typed):
    with pytest.raises(ValueError, match="a name"):
        normalize_name(typed)


@pytest.mark.parametrize(
    ("password", "named"),
    [
        ("short words", "12-256 characters, this one has 11"),
        ("x" * 257, "12-256 characters"),
        ("aaaabbbbccccdddd", "different characters"),
        ("Annabelle.Smith", "must not be the name"),
    ],
)
def test_a_weak_password_is_refused(password, named):
    with pytest.raises(ValueError, match=named):
        check_password(password, "annabelle.smith")


def test_a_password_is_the_same_however_its_letters_are_composed():
    assert check_password("Zoe\u0308s long words", "ann") == check_password("Zoës long words", "ann")


LEADS = [Member("ann", Role.LEAD, True), Member("ben", Role.LEAD, False), Member("eve", Role.ENGINEER, True)]


def test_the_last_lead_who_can_sign_in_stays():
    with pytest.raises(LastLeadError, match="ann is the only lead who can sign in"):
        check_lead_stays(LEADS, "ann")


@pytest.mark.parametrize("name", ["ben", "eve"])
def test_others_may_go(name):
    check_lead_stays(LEADS, name)


def test_one_of_two_leads_may_go():
    check_lead_stays([*LEADS, Member("zoë", Role.LEAD, True)], "ann")
