"""Accounts: by invitation only, locked out at once, and never without a lead."""

import pytest

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.people import LastLeadError
from app.domain.roles import Actor, Role
from app.services.audit import AuditFilter, list_entries
from app.services.people_types import PeopleError, SignInRefusedError, TooManyAttemptsError, UnknownPersonError
from app.storage.database import open_store
from app.storage.people import Account, ApiToken, Invitation, SignIn
from tests.unit.made_workspace import everything_stored
from tests.unit.people_cases import HERE, OPERATOR, PASSWORD, Team, make_team

pytestmark = pytest.mark.usefixtures("each_database")

ANN, BEN = Actor("ann", Role.LEAD), Actor("ben", Role.ANNOTATOR)


@pytest.fixture
def team(tmp_path):
    made = make_team(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def empty(tmp_path):
    made = Team(open_store(Workspace(tmp_path / "empty"), create=True))
    yield made
    made.store.close()


def states(team):
    return {person.name: (person.role.value, person.state) for person in team.accounts.people()}


def actions(team):
    return [(row.actor, row.action, row.target) for row in list_entries(team.store, AuditFilter(), 100)]


def test_nobody_signs_in_before_the_invitation_was_taken(team):
    team.accounts.create(ANN, "Eve", Role.ENGINEER)
    assert states(team)["eve"] == ("engineer", "invited")
    with pytest.raises(SignInRefusedError):
        team.sign_ins.sign_in("eve", PASSWORD, HERE)


def test_an_invitation_works_once(team):
    ticket = team.accounts.create(ANN, "eve", Role.ENGINEER)
    assert team.invitations.name_of(ticket.token, HERE) == "eve"
    assert team.invitations.take(ticket.token, PASSWORD, HERE) == "eve"
    with pytest.raises(SignInRefusedError, match="it was used, it expired"):
        team.invitations.take(ticket.token, "another four words", HERE)
    assert team.sign_ins.sign_in("eve", PASSWORD, HERE)


def test_an_invitation_expires(team):
    ticket = team.accounts.create(ANN, "eve", Role.ENGINEER)
    team.clock.now = ticket.expires_at
    with pytest.raises(SignInRefusedError):
        team.invitations.take(ticket.token, PASSWORD, HERE)


def test_a_password_that_is_refused_leaves_the_invitation_working(team):
    ticket = team.accounts.create(ANN, "eve", Role.ENGINEER)
    with pytest.raises(PeopleError, match="12-256 characters"):
        team.invitations.take(ticket.token, "short", HERE)
    assert team.invitations.take(ticket.token, PASSWORD, HERE) == "eve"


def test_a_newer_invitation_takes_the_place_of_an_older_one(team):
    first = team.accounts.create(ANN, "eve", Role.ENGINEER)
    second = team.accounts.reset(ANN, "eve")
    with pytest.raises(SignInRefusedError):
        team.invitations.take(first.token, PASSWORD, HERE)
    assert team.invitations.take(second.token, PASSWORD, HERE) == "eve"


def test_guessing_invitations_is_slowed_down(team):
    for _ in range(21):
        with pytest.raises(SignInRefusedError):
            team.invitations.take("guess", PASSWORD, HERE)
    with pytest.raises(TooManyAttemptsError, match="looked at in 2 seconds"):
        team.invitations.take("guess", PASSWORD, HERE)


@pytest.mark.parametrize("name", ["ann", "ANN", " Ben "])
def test_a_name_is_never_used_twice(team, name):
    with pytest.raises(PeopleError, match="there is an account"):
        team.accounts.create(ANN, name, Role.ENGINEER)


def test_disabling_ends_everything_at_once(team):
    session, token = team.sign_ins.sign_in("ben", PASSWORD, HERE), team.tokens.make(BEN, "ben", "script")
    assert team.sign_ins.identify(session, True) and team.tokens.identify(token, HERE) == BEN
    team.accounts.disable(ANN, "ben")
    assert team.sign_ins.identify(session, True) is None
    for attempt in (
        lambda: team.tokens.identify(token, HERE),
        lambda: team.sign_ins.sign_in("ben", PASSWORD, HERE),
    ):
        with pytest.raises(SignInRefusedError):
            attempt()


def test_an_enabled_person_signs_in_again_but_old_sessions_stay_ended(team):
    session = team.sign_ins.sign_in("ben", PASSWORD, HERE)
    team.accounts.disable(ANN, "ben")
    team.accounts.enable(ANN, "ben")
    assert team.sign_ins.identify(session, True) is None
    assert team.sign_ins.sign_in("ben", PASSWORD, HERE)


def test_an_invitation_of_a_disabled_account_does_not_work(team):
    ticket = team.accounts.create(ANN, "eve", Role.ENGINEER)
    team.accounts.disable(ANN, "eve")
    with pytest.raises(SignInRefusedError):
        team.invitations.take(ticket.token, PASSWORD, HERE)


def test_a_reset_ends_sessions_and_tokens_and_the_old_password(team):
    session, token = team.sign_ins.sign_in("ben", PASSWORD, HERE), team.tokens.make(BEN, "ben", "script")
    ticket = team.accounts.reset(ANN, "ben")
    assert team.sign_ins.identify(session, True) is None
    with pytest.raises(SignInRefusedError):
        team.tokens.identify(token, HERE)
    with pytest.raises(SignInRefusedError):
        team.sign_ins.sign_in("ben", PASSWORD, HERE)
    team.invitations.take(ticket.token, "another four words", HERE)
    assert team.sign_ins.sign_in("ben", "another four words", HERE)


def test_a_role_counts_from_the_next_request_on(team):
    session = team.sign_ins.sign_in("ben", PASSWORD, HERE)
    team.accounts.set_role(ANN, "ben", Role.REVIEWER)
    assert team.sign_ins.identify(session, True).actor == Actor("ben", Role.REVIEWER)


@pytest.mark.parametrize(
    "change",
    [lambda team: team.accounts.disable(ANN, "ann"), lambda team: team.accounts.set_role(ANN, "ann", Role.ENGINEER)],
    ids=["disable", "demote"],
)
def test_the_last_lead_stays(team, change):
    team.accounts.create(ANN, "zoe", Role.LEAD)  # Invited only: cannot sign in yet.
    with pytest.raises(LastLeadError):
        change(team)
    assert states(team)["ann"] == ("lead", "active")


def test_unknown_people_are_named(team):
    for change in (team.accounts.disable, team.accounts.enable, team.accounts.reset):
        with pytest.raises(UnknownPersonError, match="there is no account 'nobody'"):
            change(ANN, "nobody")


def test_a_new_password_ends_the_other_sessions(team):
    kept, other = (team.sign_ins.sign_in("ben", PASSWORD, HERE) for _ in range(2))
    signed_in = team.sign_ins.identify(kept, True)
    with pytest.raises(PeopleError, match="the present password is wrong"):
        team.accounts.change_password(BEN, "not the password", "another four words", signed_in.sign_in_id)
    team.accounts.change_password(BEN, PASSWORD, "another four words", signed_in.sign_in_id)
    assert team.sign_ins.identify(kept, True) and team.sign_ins.identify(other, True) is None
    assert team.sign_ins.sign_in("ben", "another four words", HERE)


def test_the_admin_token_makes_the_first_lead_and_no_second(empty):
    assert not empty.accounts.exist() and not empty.invitations.is_admin_token_pending()
    ticket = empty.invitations.make_admin_token(OPERATOR)
    assert empty.invitations.is_admin_token_pending()
    assert empty.invitations.name_of(ticket.token, HERE) is None
    assert empty.invitations.take(ticket.token, PASSWORD, HERE, "Ann") == "ann"
    assert states(empty) == {"ann": ("lead", "active")}
    with pytest.raises(SignInRefusedError):
        empty.invitations.take(ticket.token, PASSWORD, HERE, "eve")
    with pytest.raises(PeopleError, match=r"there is a lead already \(ann\)"):
        empty.invitations.make_admin_token(OPERATOR)


def test_an_older_admin_token_stops_working_when_a_newer_one_is_made(empty):
    first, second = (empty.invitations.make_admin_token(OPERATOR) for _ in range(2))
    with pytest.raises(SignInRefusedError):
        empty.invitations.take(first.token, PASSWORD, HERE, "ann")
    assert empty.invitations.take(second.token, PASSWORD, HERE, "ann") == "ann"


def test_an_admin_token_expires(empty):
    ticket = empty.invitations.make_admin_token(OPERATOR)
    empty.clock.now = ticket.expires_at
    assert not empty.invitations.is_admin_token_pending()
    with pytest.raises(SignInRefusedError):
        empty.invitations.take(ticket.token, PASSWORD, HERE, "ann")


def test_an_admin_token_made_earlier_is_worth_nothing_once_there_is_a_lead(empty):
    ticket = empty.invitations.make_admin_token(OPERATOR)
    empty.add("ann", Role.LEAD)
    with pytest.raises(SignInRefusedError):
        empty.invitations.take(ticket.token, PASSWORD, HERE, "eve")


def test_every_change_is_in_the_audit_log(team):
    team.accounts.create(ANN, "eve", Role.ENGINEER)
    team.accounts.set_role(ANN, "eve", Role.REVIEWER)
    team.accounts.disable(ANN, "eve")
    team.accounts.enable(ANN, "eve")
    expected = ["account_enabled", "account_disabled", "role_changed", "invitation_made", "account_created"]
    assert actions(team)[:5] == [("ann", action, "eve") for action in expected]


def test_no_secret_is_stored_or_logged(team):
    session, token = team.sign_ins.sign_in("ben", PASSWORD, HERE), team.tokens.make(BEN, "ben", "script")
    ticket = team.accounts.create(ANN, "eve", Role.ENGINEER)
    content = everything_stored(team.store)
    assert b"argon2id" in content
    for secret in (session, token, ticket.token, PASSWORD):
        assert secret.encode() not in content
    with team.store.reader() as database:
        is_argon2 = Account.password_hash.like("$argon2id$v=19$m=47104,t=1,p=1$%")
        assert database.query(Account).filter(is_argon2).count() == 2
        for table in (SignIn, ApiToken, Invitation):
            assert all(len(row.token_hash) == 64 for row in database.query(table))


def test_failed_sign_ins_are_logged_without_what_may_be_a_password(team):
    for name in ("ben", PASSWORD):
        with pytest.raises(SignInRefusedError):
            team.sign_ins.sign_in(name, "wrong words in a row", HERE)
    entries = list_entries(team.store, AuditFilter(action=AuditAction.SIGN_IN_FAILED), 10)
    assert [(entry.target, entry.details["address"]) for entry in entries] == [("?", "10.0.0.3"), ("ben", "10.0.0.3")]
