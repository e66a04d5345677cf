"""What the services about people hand out, and the ways in which they refuse."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.browsers import browser_in_words
from app.domain.roles import Role


class PeopleError(ValueError):
    """The request about an account makes no sense; nothing was changed. The message is for the person who sent it."""


class UnknownPersonError(PeopleError):
    """There is no account of this name."""


class SignInRefusedError(RuntimeError):
    """Wrong name, password or token. Never says which."""


class TooManyAttemptsError(RuntimeError):
    """Too many, too fast.

    Attributes:
        wait_s: seconds until the next one is looked at.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many attempts; the next one is looked at in {math.ceil(wait_s)} seconds")
        self.wait_s = wait_s


@dataclass(frozen=True)
class Origin:
    """Where a request comes from.

    Attributes:
        address: the network address.
        agent: what the browser calls itself; shown to its person in the list of sessions.
    """

    address: str
    agent: str = ""


@dataclass(frozen=True)
class PersonView:
    """One account. `has_password` is False until its invitation was taken, and after a reset."""

    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None
    has_password: bool
    seen_at: datetime | None

    @property
    def state(self) -> str:
        """In a word: active, invited or disabled."""
        if self.disabled_at is not None:
            return "disabled"
        return "active" if self.has_password else "invited"

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API and the Admin page: times in ISO 8601."""
        seen = None if self.seen_at is None else self.seen_at.isoformat()
        return {
            "name": self.name, "role": self.role.value, "state": self.state,
            "created_at": self.created_at.isoformat(), "seen_at": seen,
        }  # fmt: skip


@dataclass(frozen=True)
class SessionView:
    """One signed-in browser."""

    id: int
    name: str
    created_at: datetime
    seen_at: datetime
    address: str
    agent: str

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API and the Admin page: times in ISO 8601."""
        times = {"created_at": self.created_at.isoformat(), "seen_at": self.seen_at.isoformat()}
        return {**self.__dict__, "browser": self.browser, **times}

    @property
    def browser(self) -> str:
        """What kind of browser it is, as people say it."""
        return browser_in_words(self.agent)


@dataclass(frozen=True)
class TokenView:
    """One key for scripts, without its secret."""

    id: int
    name: str
    owner: str
    created_at: datetime
    used_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API and the Admin page: times in ISO 8601."""
        used = None if self.used_at is None else self.used_at.isoformat()
        return {**self.__dict__, "created_at": self.created_at.isoformat(), "used_at": used}


@dataclass(frozen=True)
class Ticket:
    """A link's secret, shown once.

    Attributes:
        token: the secret.
        name: whose it is; None for the token that makes the first lead's account.
        expires_at: when it stops working.
    """

    token: str
    name: str | None
    expires_at: datetime
