"""Signing in, and the sessions of browsers that are."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from app.domain.audit import AuditAction
from app.domain.people import normalize_name, normalize_password
from app.domain.roles import Actor
from app.services.accounts import end_sessions
from app.services.attempts import address_key, counted, name_key
from app.services.audit import record
from app.services.passwords import hash_password, is_outdated, is_password
from app.services.people_types import Origin, SessionView, SignInRefusedError, UnknownPersonError
from app.services.secrets_at_rest import hash_token, new_token
from app.storage.database import Store
from app.storage.models import utc_now
from app.storage.people import Account, SignIn

IDLE_LIFE = timedelta(hours=12)
"""Nothing was opened or decided for this long: a day's work may have a long pause, a night ends the session."""
LONGEST_LIFE = timedelta(days=7)
"""However busy it is, its person signs in again once a week. Both chosen by us."""
_NOTED_EVERY = timedelta(minutes=1)
"""How exactly the last activity is known; written more often it would cost a write per decision."""
_WRONG = "the name or the password is wrong"


@dataclass(frozen=True)
class SignedIn:
    """A request's person, and through which session it came."""

    actor: Actor
    sign_in_id: int


class SignIns:
    """Sessions. Keeps no state of its own; safe between threads."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock

    def sign_in(self, name: str, password: str, origin: Origin) -> str:
        """A new session; returns its token, which only the browser keeps.

        Raises:
            SignInRefusedError: wrong name, wrong password, or the account cannot sign in; takes equally long.
            TooManyAttemptsError: too many for this name or from this address.
        """
        spelled = _spelled(name)
        try:
            with counted(self._store, [name_key(spelled), address_key(origin.address)], self._clock):
                account = self._checked(spelled, password)
        except SignInRefusedError:
            with self._store.session() as session:
                details = {"address": origin.address, "agent": origin.agent}
                known = session.scalar(select(Account.id).where(Account.name == spelled)) is not None
                # A name that is none may be a password in the wrong field.
                record(session, Actor("nobody", None), AuditAction.SIGN_IN_FAILED, spelled if known else "?", details)
            raise
        outdated = account.password_hash is not None and is_outdated(account.password_hash)
        return self._begin(account, origin, hash_password(normalize_password(password)) if outdated else None)

    def identify(self, token: str, is_activity: bool) -> SignedIn | None:
        """Whose session this is; None when it ended, expired, or never was.

        Args:
            token: from the cookie.
            is_activity: the request is something that a person did, and keeps the session alive.
        """
        now = self._clock()
        statement = select(SignIn, Account).join(Account, Account.id == SignIn.account_id)
        with self._store.reader() as session:
            found = session.execute(statement.where(SignIn.token_hash == hash_token(token))).first()
        if found is None:
            return None
        sign_in, account = found
        if not _counts(sign_in, account, now):
            return None
        if is_activity and not timedelta() <= now - sign_in.seen_at < _NOTED_EVERY:
            self._note(sign_in.id, now)
        return SignedIn(Actor(account.name, account.role), sign_in.id)

    def sign_out(self, signed_in: SignedIn) -> None:
        """End the session."""
        with self._store.session() as session:
            if end_sessions(session, self._clock(), SignIn.id == signed_in.sign_in_id):
                record(session, signed_in.actor, AuditAction.SIGN_OUT, signed_in.actor.name)

    def sessions(self, name: str | None = None) -> list[SessionView]:
        """Sessions that count now, of one person or of all, the latest activity first."""
        now = self._clock()
        statement = select(SignIn, Account).join(Account, Account.id == SignIn.account_id)
        statement = statement.where(SignIn.ended_at.is_(None)).order_by(SignIn.seen_at.desc(), SignIn.id.desc())
        if name is not None:
            statement = statement.where(Account.name == name)
        with self._store.reader() as session:
            found = [(sign_in, account) for sign_in, account in session.execute(statement)]
        return [_view(sign_in, account) for sign_in, account in found if _counts(sign_in, account, now)]

    def end(self, actor: Actor, session_id: int, only_own: bool) -> None:
        """End one session.

        Args:
            actor: who asks.
            session_id: which.
            only_own: refuse sessions of others.

        Raises:
            UnknownPersonError: there is no such session, or it is somebody else's.
        """
        with self._store.session() as session:
            owner = session.scalar(
                select(Account.name).join(SignIn, SignIn.account_id == Account.id).where(SignIn.id == session_id)
            )
            if owner is None or (only_own and owner != actor.name):
                raise UnknownPersonError(f"there is no session {session_id}")
            if end_sessions(session, self._clock(), SignIn.id == session_id):
                record(session, actor, AuditAction.SESSION_ENDED, owner, {"session": session_id})

    def end_all(self, actor: Actor, name: str) -> int:
        """End all sessions of a person; returns how many there were."""
        with self._store.session() as session:
            account_id = select(Account.id).where(Account.name == name).scalar_subquery()
            ended = end_sessions(session, self._clock(), SignIn.account_id == account_id)
            if ended:
                record(session, actor, AuditAction.SESSION_ENDED, name, {"sessions": ended})
            return ended

    def _checked(self, name: str, password: str) -> Account:
        with self._store.reader() as session:
            account = session.scalar(select(Account).where(Account.name == name))
        usable = None if account is None or account.disabled_at is not None else account.password_hash
        if not is_password(usable, password) or account is None:
            raise SignInRefusedError(_WRONG)
        return account

    def _begin(self, account: Account, origin: Origin, new_hash: str | None) -> str:
        token, now = new_token(), self._clock()
        actor = Actor(account.name, account.role)
        with self._store.session() as session:
            row = session.get_one(Account, account.id)
            if row.disabled_at is not None or row.password_hash != account.password_hash:
                raise SignInRefusedError(_WRONG)  # Disabled or reset while the password was checked.
            row.password_hash = new_hash or row.password_hash
            session.add(
                SignIn(
                    account_id=account.id, token_hash=hash_token(token), created_at=now, seen_at=now,
                    address=origin.address[:64], agent=origin.agent[:255],
                )
            )  # fmt: skip
            record(
                session, actor, AuditAction.SIGN_IN, account.name, {"address": origin.address, "agent": origin.agent}
            )
        return token

    def _note(self, sign_in_id: int, now: datetime) -> None:
        with self._store.session() as session:
            session.get_one(SignIn, sign_in_id).seen_at = now


def _spelled(name: str) -> str:
    """The name as accounts have it, or as it was typed where no account can be called so."""
    try:
        return normalize_name(name)
    except ValueError:
        return name


def _counts(sign_in: SignIn, account: Account, now: datetime) -> bool:
    """Whether a session lets its person in. A clock that was set back makes no session older or younger than it is."""
    if sign_in.ended_at is not None or account.disabled_at is not None:
        return False
    return now - sign_in.created_at < LONGEST_LIFE and now - sign_in.seen_at < IDLE_LIFE


def _view(sign_in: SignIn, account: Account) -> SessionView:
    return SessionView(sign_in.id, account.name, sign_in.created_at, sign_in.seen_at, sign_in.address, sign_in.agent)
