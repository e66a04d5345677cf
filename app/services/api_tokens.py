"""Keys with which a person's scripts act as that person, with the role they have at that moment."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.roles import Actor
from app.services.accounts import require_account
from app.services.attempts import address_key, counted
from app.services.audit import record
from app.services.people_types import Origin, PeopleError, SignInRefusedError, TokenView, UnknownPersonError
from app.services.secrets_at_rest import hash_token, new_api_token
from app.storage.database import Store
from app.storage.models import utc_now
from app.storage.people import Account, ApiToken

MAX_NAME = 64
_NOTED_EVERY = timedelta(minutes=1)
_WRONG = "this token is not valid (any more); make another one: pixelsieve users token, or on the Account page"


class ApiTokens:
    """Named tokens. Keeps no state of its own; safe between threads."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock

    def make(self, actor: Actor, owner: str, name: str) -> str:
        """A new token; returned here and never again.

        Args:
            actor: who asks.
            owner: whose token it is.
            name: what it is for.

        Raises:
            UnknownPersonError: there is no such account.
            PeopleError: no name or a long one, or the account is disabled.
        """
        if not 1 <= len(name.strip()) <= MAX_NAME:
            raise PeopleError(f"a token needs a name of 1-{MAX_NAME} characters that says what it is for")
        token = new_api_token()
        with self._store.session() as session:
            account = require_account(session, owner)
            if account.disabled_at is not None:
                raise PeopleError(f"{account.name} is disabled; enable the account first")
            session.add(
                ApiToken(
                    account_id=account.id, name=name.strip(), token_hash=hash_token(token), created_at=self._clock()
                )
            )
            record(session, actor, AuditAction.TOKEN_MADE, account.name, {"token": name.strip()})
        return token

    def identify(self, token: str, origin: Origin) -> Actor:
        """Whose token this is.

        Raises:
            SignInRefusedError: nobody's, or it was revoked.
            TooManyAttemptsError: too many wrong ones from this address.
        """
        now = self._clock()
        statement = select(ApiToken, Account).join(Account, Account.id == ApiToken.account_id)
        usable = ApiToken.revoked_at.is_(None), Account.disabled_at.is_(None)
        with self._store.reader() as session:
            found = session.execute(statement.where(ApiToken.token_hash == hash_token(token), *usable)).first()
        if found is None:
            with counted(self._store, [address_key(origin.address)], self._clock):
                raise SignInRefusedError(_WRONG)
        row, account = found
        if row.used_at is None or not timedelta() <= now - row.used_at < _NOTED_EVERY:
            with self._store.session() as session:
                session.get_one(ApiToken, row.id).used_at = now
        return Actor(account.name, account.role)

    def tokens(self, owner: str | None = None) -> list[TokenView]:
        """Tokens that work, of one person or of all, newest first."""
        statement = select(ApiToken, Account.name).join(Account, Account.id == ApiToken.account_id)
        statement = statement.where(ApiToken.revoked_at.is_(None)).order_by(ApiToken.id.desc())
        if owner is not None:
            statement = statement.where(Account.name == owner)
        with self._store.reader() as session:
            return [
                TokenView(row.id, row.name, name, row.created_at, row.used_at)
                for row, name in session.execute(statement)
            ]

    def revoke(self, actor: Actor, token_id: int, only_own: bool) -> None:
        """Let a token stop working.

        Raises:
            UnknownPersonError: there is no such token, or it is somebody else's and `only_own` is set.
        """
        with self._store.session() as session:
            row, owner = self._find(session, token_id)
            if row is None or (only_own and owner != actor.name):
                raise UnknownPersonError(f"there is no token {token_id}")
            if row.revoked_at is None:
                row.revoked_at = self._clock()
                record(session, actor, AuditAction.TOKEN_REVOKED, owner, {"token": row.name})

    def _find(self, session: Session, token_id: int) -> tuple[ApiToken | None, str]:
        row = session.get(ApiToken, token_id)
        return row, "" if row is None else session.get_one(Account, row.account_id).name
