"""Accounts: who there is and what everybody may do. There is no open sign-up: a lead or the command line invites."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.people import check_lead_stays, check_password, normalize_name
from app.domain.roles import Actor, Role
from app.services.audit import record
from app.services.invitations import invite, members, revoke_invitations
from app.services.passwords import hash_password, is_password
from app.services.people_types import PeopleError, PersonView, Ticket, UnknownPersonError
from app.storage.database import Store
from app.storage.models import utc_now
from app.storage.people import Account, ApiToken, SignIn


class AccountService:
    """What leads do with accounts, and people with their own. Keeps no state of its own; safe between threads."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock

    def exist(self) -> bool:
        """Whether there is any account, so that everybody has to sign in."""
        with self._store.reader() as session:
            return session.scalar(select(Account.id).limit(1)) is not None

    def people(self) -> list[PersonView]:
        """All accounts by name."""
        seen = select(func.max(SignIn.seen_at)).where(SignIn.account_id == Account.id).scalar_subquery()
        with self._store.reader() as session:
            rows = session.execute(select(Account, seen).order_by(Account.name))
            return [_view(account, seen_at) for account, seen_at in rows]

    def create(self, actor: Actor, name: str, role: Role) -> Ticket:
        """Make an account without a password, and the link with which its person chooses one.

        Raises:
            PeopleError: a name that is no name or is taken.
        """
        try:
            name = normalize_name(name)
        except ValueError as error:
            raise PeopleError(str(error)) from error
        with self._store.session() as session:
            if session.scalar(select(Account.id).where(Account.name == name)) is not None:
                raise PeopleError(f"there is an account {name!r} already; a name is never used for somebody else")
            account = Account(name=name, role=role, password_hash=None, created_at=self._clock())
            session.add(account)
            session.flush()
            record(session, actor, AuditAction.ACCOUNT_CREATED, name, {"role": role.value})
            return self._invited(session, actor, account)

    def reset(self, actor: Actor, name: str) -> Ticket:
        """Take a person's password, sessions and tokens away, and make the link with which they choose a new password.

        Raises:
            UnknownPersonError: no such account.
            PeopleError: it is disabled.
        """
        with self._store.session() as session:
            account = require_account(session, name)
            if account.disabled_at is not None:
                raise PeopleError(f"{account.name} is disabled; enable the account first")
            account.password_hash = None
            self._end_everything(session, account)
            return self._invited(session, actor, account)

    def set_role(self, actor: Actor, name: str, role: Role) -> None:
        """Give a person another role; it counts from their next request on.

        Raises:
            UnknownPersonError: no such account.
            LastLeadError: the only lead.
        """
        with self._store.session() as session:
            account = require_account(session, name)
            if account.role is role:
                return
            check_lead_stays(members(session), account.name)
            changed = {"from": account.role.value, "to": role.value}
            record(session, actor, AuditAction.ROLE_CHANGED, account.name, changed)
            account.role = role

    def disable(self, actor: Actor, name: str) -> None:
        """Lock a person out at once: sessions end, tokens and links stop working. What they decided stays.

        Raises:
            UnknownPersonError: no such account.
            LastLeadError: the only lead.
        """
        with self._store.session() as session:
            account = require_account(session, name)
            if account.disabled_at is not None:
                return
            check_lead_stays(members(session), account.name)
            account.disabled_at = self._clock()
            self._end_everything(session, account)
            record(session, actor, AuditAction.ACCOUNT_DISABLED, account.name)

    def enable(self, actor: Actor, name: str) -> None:
        """Let a disabled person sign in again, with the password they had.

        Raises:
            UnknownPersonError: no such account.
        """
        with self._store.session() as session:
            account = require_account(session, name)
            if account.disabled_at is not None:
                account.disabled_at = None
                record(session, actor, AuditAction.ACCOUNT_ENABLED, account.name)

    def change_password(self, actor: Actor, old: str, new: str, keep_session: int | None) -> None:
        """Choose a new password; the person's other sessions end.

        Args:
            actor: whose password it is.
            old: the present one, as typed.
            new: as typed.
            keep_session: id of the session that goes on, if any.

        Raises:
            PeopleError: the present password is wrong, or the new one cannot be used.
        """
        with self._store.reader() as session:
            stored = require_account(session, actor.name).password_hash
        if not is_password(stored, old):
            raise PeopleError("the present password is wrong; nothing was changed")
        try:
            hashed = hash_password(check_password(new, actor.name))
        except ValueError as error:
            raise PeopleError(str(error)) from error
        with self._store.session() as session:
            account = require_account(session, actor.name)
            account.password_hash = hashed
            end_sessions(session, self._clock(), SignIn.account_id == account.id, SignIn.id != keep_session)
            record(session, actor, AuditAction.PASSWORD_CHANGED, account.name)

    def _invited(self, session: Session, actor: Actor, account: Account) -> Ticket:
        ticket = invite(session, account, self._clock())
        record(session, actor, AuditAction.INVITATION_MADE, account.name, {"until": ticket.expires_at.isoformat()})
        return ticket

    def _end_everything(self, session: Session, account: Account) -> None:
        now = self._clock()
        end_sessions(session, now, SignIn.account_id == account.id)
        is_theirs = ApiToken.account_id == account.id, ApiToken.revoked_at.is_(None)
        session.execute(update(ApiToken).where(*is_theirs).values(revoked_at=now))
        revoke_invitations(session, account.id, now)


def end_sessions(session: Session, now: datetime, *which: ColumnElement[bool]) -> int:
    """End the sessions that still count among `which`; returns how many."""
    found = session.scalars(select(SignIn).where(SignIn.ended_at.is_(None), *which)).all()
    for sign_in in found:
        sign_in.ended_at = now
    return len(found)


def require_account(session: Session, name: str) -> Account:
    """The account of a name in any spelling.

    Raises:
        UnknownPersonError: there is none.
    """
    try:
        account = session.scalar(select(Account).where(Account.name == normalize_name(name)))
    except ValueError:
        account = None
    if account is None:
        raise UnknownPersonError(f"there is no account {name!r}")
    return account


def _view(account: Account, seen_at: datetime | None) -> PersonView:
    return PersonView(
        account.name, account.role, account.created_at, account.disabled_at, account.password_hash is not None, seen_at
    )
