"""Random tokens: the person has the token, the store has its hash."""

import hashlib
import secrets

_BYTES = 32
_API_PREFIX = "psv_"
"""Lets secret scanners find a token of ours that was committed by mistake."""


def new_token() -> str:
    """A token nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(_BYTES)


def new_api_token() -> str:
    """The same for scripts, recognizable as ours."""
    return _API_PREFIX + new_token()


def hash_token(token: str) -> str:
    """What is stored. Plain SHA-256 is enough, because the token is random: there is no dictionary of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
