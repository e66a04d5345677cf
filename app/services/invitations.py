"""Links that work once: with one a person chooses their account's password, or the first lead's account is made."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.people import Member, check_password, normalize_name
from app.domain.roles import Actor, Role
from app.services.attempts import address_key, counted
from app.services.audit import record
from app.services.passwords import hash_password
from app.services.people_types import Origin, PeopleError, SignInRefusedError, Ticket
from app.services.secrets_at_rest import hash_token, new_token
from app.storage.database import Store
from app.storage.models import utc_now
from app.storage.people import Account, Invitation

INVITATION_LIFE = timedelta(days=3)
ADMIN_TOKEN_LIFE = timedelta(hours=24)
"""Chosen by us: long enough for a message read after a weekend, and for a server that is set up today."""

_REFUSED = "this link does not work: it was used, it expired, or a newer one took its place. Ask a lead for another one"


class Invitations:
    """What people do with links. Keeps no state of its own; safe between threads."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock

    def make_admin_token(self, actor: Actor) -> Ticket:
        """The token with which the first lead's account is made in the browser; an earlier one stops working.

        Raises:
            PeopleError: there is a lead who can sign in already.
        """
        with self._store.session() as session:
            leads = _active_leads(session)
            if leads:
                raise PeopleError(f"there is a lead already ({', '.join(leads)}), who can invite others")
            ticket = invite(session, None, self._clock())
            until = ticket.expires_at.isoformat()
            record(session, actor, AuditAction.ADMIN_TOKEN_MADE, "the first lead's account", {"until": until})
            return ticket

    def is_admin_token_pending(self) -> bool:
        """Whether an admin token was made that still works."""
        statement = select(Invitation.id).where(
            Invitation.account_id.is_(None), *_open(), Invitation.expires_at > self._clock()
        )
        with self._store.reader() as session:
            return session.scalar(statement.limit(1)) is not None

    def name_of(self, token: str, origin: Origin) -> str | None:
        """The name that a link is for; None for the admin token.

        Raises:
            SignInRefusedError: it does not work (any more).
            TooManyAttemptsError: too many wrong ones from this address.
        """
        with counted(self._store, [address_key(origin.address)], self._clock), self._store.reader() as session:
            account = self._account(session, self._find(session, token))
            return None if account is None else account.name

    def take(self, token: str, password: str, origin: Origin, name: str | None = None) -> str:
        """Choose the password of the account that a link is for, or make the first lead's account; returns the name.

        Args:
            token: from the link; works once.
            password: as typed.
            origin: where the request comes from.
            name: for the admin token only: what the lead wants to be called.

        Raises:
            SignInRefusedError: the link does not work (any more).
            PeopleError: a name or password that cannot be used; the link still works.
            TooManyAttemptsError: too many wrong links from this address.
        """
        invited = self.name_of(token, origin)
        try:
            chosen = invited or normalize_name(name or "")
            hashed = hash_password(check_password(password, chosen))
        except ValueError as error:
            raise PeopleError(str(error)) from error
        with self._store.session() as session:
            invitation = self._find(session, token)  # Again: somebody may have been faster.
            account = self._account(session, invitation) or self._first_lead(session, chosen)
            account.password_hash = hashed
            invitation.used_at = self._clock()
            person = Actor(account.name, account.role)
            record(session, person, AuditAction.INVITATION_TAKEN, account.name, {"address": origin.address})
            return account.name

    def _find(self, session: Session, token: str) -> Invitation:
        invitation = session.scalar(select(Invitation).where(Invitation.token_hash == hash_token(token), *_open()))
        if invitation is None or invitation.expires_at <= self._clock():
            raise SignInRefusedError(_REFUSED)
        return invitation

    def _account(self, session: Session, invitation: Invitation) -> Account | None:
        if invitation.account_id is None:
            return None
        account = session.get_one(Account, invitation.account_id)
        if account.disabled_at is not None:
            raise SignInRefusedError(_REFUSED)
        return account

    def _first_lead(self, session: Session, name: str) -> Account:
        if _active_leads(session):
            raise SignInRefusedError(_REFUSED)
        account = session.scalar(select(Account).where(Account.name == name))
        if account is not None:
            raise PeopleError(f"there is an account {name!r} already; choose another name")
        account = Account(name=name, role=Role.LEAD, password_hash=None, created_at=self._clock())
        session.add(account)
        record(session, Actor(name, Role.LEAD), AuditAction.ACCOUNT_CREATED, name, {"role": Role.LEAD.value})
        return account


def invite(session: Session, account: Account | None, now: datetime) -> Ticket:
    """A new link for an account, or the admin token; the one before stops working. The caller writes the audit log."""
    account_id = None if account is None else account.id
    revoke_invitations(session, account_id, now)
    token, expires_at = new_token(), now + (ADMIN_TOKEN_LIFE if account is None else INVITATION_LIFE)
    invitation = Invitation(
        account_id=account_id, token_hash=hash_token(token), created_at=now, expires_at=expires_at
    )  # fmt: skip
    session.add(invitation)
    return Ticket(token, None if account is None else account.name, expires_at)


def revoke_invitations(session: Session, account_id: int | None, now: datetime) -> None:
    """Let the links of an account, or the admin token, stop working."""
    is_theirs = Invitation.account_id.is_(None) if account_id is None else Invitation.account_id == account_id
    session.execute(update(Invitation).where(is_theirs, *_open()).values(revoked_at=now))


def members(session: Session) -> list[Member]:
    """All accounts as the rules of app/domain/people.py see them; who has no password yet cannot sign in."""
    return [
        Member(account.name, account.role, account.disabled_at is None and account.password_hash is not None)
        for account in session.scalars(select(Account))
    ]


def _active_leads(session: Session) -> list[str]:
    return [member.name for member in members(session) if member.role is Role.LEAD and member.is_active]


def _open() -> tuple[Any, Any]:
    return Invitation.used_at.is_(None), Invitation.revoked_at.is_(None)
