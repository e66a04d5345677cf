"""Sessions and tokens: slowed down when wrong, ended when old, and telling nobody which names exist."""

import threading

import pytest
from argon2 import PasswordHasher

from app.domain.audit import AuditAction
from app.domain.roles import Actor, Role
from app.services import passwords
from app.services.audit import AuditFilter, list_entries
from app.services.people_types import (
    Origin,
    PeopleError,
    SignInRefusedError,
    TooManyAttemptsError,
    UnknownPersonError,
)
from app.storage.people import Account
from tests.unit.people_cases import HERE, PASSWORD, Team, make_team

pytestmark = pytest.mark.usefixtures("each_database")

ANN, BEN = Actor("ann", Role.LEAD), Actor("ben", Role.ANNOTATOR)


@pytest.fixture
def team(tmp_path):
    made = make_team(tmp_path)
    yield made
    made.store.close()


def fail(team, name="ben", times=1, origin=HERE):
    for _ in range(times):
        with pytest.raises(SignInRefusedError, match="the name or the password is wrong"):
            team.sign_ins.sign_in(name, "wrong words in a row", origin)


def wait_for(team, name="ben", origin=HERE):
    """Seconds that the next attempt has to wait, whatever its password is."""
    with pytest.raises(TooManyAttemptsError) as refused:
        team.sign_ins.sign_in(name, PASSWORD, origin)
    return refused.value.wait_s


def test_a_name_is_found_in_any_spelling(team):
    assert team.sign_ins.identify(team.sign_ins.sign_in(" BEN ", PASSWORD, HERE), True).actor == BEN


@pytest.mark.parametrize("name", ["ben", "nobody", "no such name!", ""])
def test_a_refusal_does_not_say_whether_the_name_exists(team, name):
    fail(team, name)


def test_unknown_names_take_as_long_as_wrong_passwords(team, monkeypatch):
    """Counted, not timed: both check exactly one hash, made with the same parameters."""
    checked = []
    verify = PasswordHasher.verify

    def counted(hasher, stored, typed):
        checked.append(stored.rsplit("$", 2)[0])
        return verify(hasher, stored, typed)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    team.accounts.create(ANN, "eve", Role.ANNOTATOR)
    team.accounts.disable(ANN, "ben")
    for name in ("ann", "nobody", "eve", "ben"):
        fail(team, name)
    assert checked == ["$argon2id$v=19$m=47104,t=1,p=1"] * 4


def test_wrong_passwords_wait_longer_and_longer_even_for_the_right_one(team):
    fail(team, times=5)
    assert wait_for(team) == 2.0
    team.clock.move(seconds=2)
    fail(team)
    assert wait_for(team) == 4.0
    team.clock.move(seconds=4)
    assert team.sign_ins.sign_in("ben", PASSWORD, HERE)
    fail(team, times=4)


def test_unknown_names_wait_as_known_ones_do(team):
    fail(team, "nobody", times=5)
    assert wait_for(team, "nobody") == 2.0


def test_others_do_not_wait_because_one_name_is_attacked(team):
    fail(team, times=5)
    assert team.sign_ins.sign_in("ann", PASSWORD, HERE)


def test_an_address_that_tries_many_names_waits(team):
    for number in range(21):
        fail(team, f"name{number}")
    assert wait_for(team, "ann") == 2.0
    assert team.sign_ins.sign_in("ann", PASSWORD, Origin("10.0.0.4"))


def test_a_right_password_does_not_buy_an_address_more_guesses(team):
    for number in range(20):
        fail(team, f"name{number}")
    team.sign_ins.sign_in("ann", PASSWORD, HERE)
    fail(team, "another")
    assert wait_for(team, "ann") == 2.0


def test_waits_survive_a_restart(team):
    fail(team, times=5)
    again = Team(team.store)
    again.clock.now = team.clock.now
    assert wait_for(again) == 2.0


def test_a_clock_that_is_set_back_neither_locks_out_nor_lets_in(team):
    fail(team, times=5)
    team.clock.move(days=-3)
    assert wait_for(team) == 2.0
    team.clock.move(seconds=1.5)
    assert wait_for(team) == 0.5
    team.clock.move(seconds=0.5)
    assert team.sign_ins.sign_in("ben", PASSWORD, HERE)


def test_many_attempts_at_the_same_time_count_like_one_after_another(team):
    refused, waited = [], []

    def attempt():
        try:
            team.sign_ins.sign_in("ben", "wrong words in a row", HERE)
        except SignInRefusedError:
            refused.append(1)
        except TooManyAttemptsError:
            waited.append(1)

    threads = [threading.Thread(target=attempt) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(refused), len(waited)) == (5, 7)


def test_a_session_ends_after_a_long_pause(team):
    session = team.sign_ins.sign_in("ben", PASSWORD, HERE)
    team.clock.move(hours=11, minutes=59)
    assert team.sign_ins.identify(session, is_activity=True)
    team.clock.move(hours=11, minutes=59)
    assert team.sign_ins.identify(session, is_activity=False)
    team.clock.move(minutes=1)
    assert team.sign_ins.identify(session, is_activity=True) is None


def test_a_session_ends_after_a_week_however_busy_it_is(team):
    session = team.sign_ins.sign_in("ben", PASSWORD, HERE)
    for _ in range(15):
        team.clock.move(hours=11)
        assert team.sign_ins.identify(session, is_activity=True)
    team.clock.move(hours=3)
    assert team.sign_ins.identify(session, is_activity=True) is None


def test_a_session_survives_a_clock_that_is_set_back(team):
    session = team.sign_ins.sign_in("ben", PASSWORD, HERE)
    team.clock.move(days=-30)
    assert team.sign_ins.identify(session, is_activity=True)
    team.clock.move(hours=12)
    assert team.sign_ins.identify(session, is_activity=True) is None


def test_every_sign_in_gets_a_token_of_its_own(team):
    tokens = {team.sign_ins.sign_in("ben", PASSWORD, HERE) for _ in range(3)}
    assert len(tokens) == 3 and all(len(token) >= 43 for token in tokens)


def test_signing_out_ends_this_session_only(team):
    first, second = (team.sign_ins.sign_in("ben", PASSWORD, HERE) for _ in range(2))
    team.sign_ins.sign_out(team.sign_ins.identify(first, True))
    assert team.sign_ins.identify(first, True) is None and team.sign_ins.identify(second, True)
    newest = list_entries(team.store, AuditFilter(), 1)[0]
    assert (newest.action, newest.target) == (AuditAction.SIGN_OUT, "ben")


def test_people_end_their_own_sessions_and_leads_those_of_all(team):
    team.sign_ins.sign_in("ben", PASSWORD, Origin("10.0.0.9", "Edge"))
    lead = team.sign_ins.sign_in("ann", PASSWORD, HERE)
    bens, anns = team.sign_ins.sessions("ben")[0], team.sign_ins.sessions("ann")[0]
    assert (bens.address, bens.agent, bens.name) == ("10.0.0.9", "Edge", "ben")
    with pytest.raises(UnknownPersonError):
        team.sign_ins.end(BEN, anns.id, only_own=True)
    assert team.sign_ins.identify(lead, True)
    team.sign_ins.end(ANN, bens.id, only_own=False)
    assert team.sign_ins.sessions("ben") == []


def test_all_sessions_of_a_person_are_ended_together(team):
    for _ in range(3):
        team.sign_ins.sign_in("ben", PASSWORD, HERE)
    assert team.sign_ins.end_all(ANN, "ben") == 3
    assert team.sign_ins.sessions("ben") == [] and team.sign_ins.end_all(ANN, "ben") == 0


def test_an_old_hash_is_made_anew_when_its_person_signs_in(team, monkeypatch):
    def stored():
        with team.store.reader() as session:
            return session.query(Account.password_hash).filter(Account.name == "ben").scalar()

    before = stored()
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=2, memory_cost=20_000, parallelism=1))
    fail(team)
    assert stored() == before
    team.sign_ins.sign_in("ben", PASSWORD, HERE)
    assert stored().startswith("$argon2id$v=19$m=20000,t=2,p=1$")
    assert team.sign_ins.sign_in("ben", PASSWORD, HERE)


def test_a_token_acts_as_its_owner_is_now(team):
    token = team.tokens.make(BEN, "ben", "nightly export")
    assert token.startswith("psv_") and team.tokens.identify(token, HERE) == BEN
    team.accounts.set_role(ANN, "ben", Role.ENGINEER)
    assert team.tokens.identify(token, HERE) == Actor("ben", Role.ENGINEER)


def test_a_revoked_token_is_worth_nothing(team):
    token = team.tokens.make(BEN, "ben", "nightly export")
    (view,) = team.tokens.tokens("ben")
    assert (view.name, view.owner) == ("nightly export", "ben")
    with pytest.raises(UnknownPersonError):
        team.tokens.revoke(ANN, view.id, only_own=True)
    team.tokens.revoke(BEN, view.id, only_own=True)
    assert team.tokens.tokens("ben") == []
    with pytest.raises(SignInRefusedError):
        team.tokens.identify(token, HERE)


def test_guessing_tokens_is_slowed_down_but_right_ones_still_work(team):
    token = team.tokens.make(BEN, "ben", "nightly export")
    for _ in range(21):
        with pytest.raises(SignInRefusedError):
            team.tokens.identify("psv_guess", HERE)
    with pytest.raises(TooManyAttemptsError):
        team.tokens.identify("psv_guess", HERE)
    assert team.tokens.identify(token, HERE) == BEN


@pytest.mark.parametrize("name", ["", "   ", "x" * 65])
def test_a_token_needs_a_name(team, name):
    with pytest.raises(PeopleError, match="a token needs a name"):
        team.tokens.make(BEN, "ben", name)
