"""Whose request it is: a cookie's session, a header's token, or, without accounts, whoever runs the server."""

import ipaddress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from app.config import Reach
from app.domain.roles import Actor
from app.services.local_actor import local_actor
from app.services.people import People
from app.services.people_types import Origin
from app.services.sign_ins import LONGEST_LIFE

NOBODY = Actor("nobody", None)
"""Who has not signed in."""


@dataclass(frozen=True)
class Identity:
    """Whose request it is, and how we know.

    Attributes:
        actor: the person; without a role when nobody has signed in.
        sign_in_id: the session it came through; None for a token, and without accounts.
        is_token: it came with a token, so no browser is involved.
    """

    actor: Actor
    sign_in_id: int | None = None
    is_token: bool = False


class Identifier:
    """Finds out whose request it is."""

    def __init__(self, people: People, reach: Reach, cookie: "SessionCookie") -> None:
        self._people = people
        self._reach = reach
        self._cookie = cookie
        self._has_accounts = False

    def __call__(self, headers: Headers, origin: Origin, is_activity: bool) -> Identity:
        """Whose request it is.

        Args:
            headers: the request's.
            origin: where it comes from.
            is_activity: a person did something, which keeps their session alive.

        Raises:
            SignInRefusedError: a token that is nobody's.
            TooManyAttemptsError: too many wrong tokens from this address.
        """
        if not self.needs_sign_in():
            return Identity(local_actor())
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return Identity(self._people.tokens.identify(token.strip(), origin), is_token=True)
        session = self._cookie.read(headers)
        signed_in = self._people.sign_ins.identify(session, is_activity) if session else None
        return Identity(NOBODY) if signed_in is None else Identity(signed_in.actor, signed_in.sign_in_id)

    def needs_sign_in(self) -> bool:
        """Whether nobody may pass unknown. Once there is an account, there always is one."""
        self._has_accounts = self._has_accounts or self._people.accounts.exist()
        return self._has_accounts or not self._reach.is_local


class SessionCookie:
    """The cookie with a session's token: unreadable for scripts, and never sent along from another site's page."""

    def __init__(self, workspace_id: str, reach: Reach) -> None:
        """Cookies do not tell ports apart, so the name tells workspaces apart; browsers take __Host- by https only."""
        self._is_https = reach.is_https
        self._name = f"{'__Host-' if reach.is_https else ''}pixelsieve-{workspace_id[:8]}"

    def read(self, headers: Headers) -> str | None:
        """The token of a request."""
        return cookie_parser(headers.get("cookie", "")).get(self._name)

    def write(self, response: Response, token: str) -> None:
        """Give a browser its token."""
        response.set_cookie(
            self._name, token, max_age=int(LONGEST_LIFE.total_seconds()), path="/",
            secure=self._is_https, httponly=True, samesite="strict",
        )  # fmt: skip

    def clear(self, response: Response) -> None:
        """Take the token away."""
        response.delete_cookie(self._name, path="/", secure=self._is_https, httponly=True, samesite="strict")


def address_of(peer: str, headers: Headers, reach: Reach) -> str:
    """The network address of who sends a request.

    Args:
        peer: the other end of the connection.
        headers: the request's. X-Forwarded-For counts when the connection comes from the proxy that was named at the
            start, and of it only the last entry, which that proxy wrote; everybody could have written the others.
        reach: names the proxy.
    """
    address = peer
    if reach.proxy is not None and _plain(peer) == reach.proxy:
        address = headers.get("x-forwarded-for", peer).rpartition(",")[2].strip()
    return _plain(address)


def _plain(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
