"""Hashing passwords with Argon2id, at most a few at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.domain.people import normalize_password
from app.services.people_types import TooManyAttemptsError

HASHER = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1, hash_len=32, salt_len=16)
"""46 MiB and one pass: the first choice of OWASP's Password Storage Cheat Sheet. One pass, one lane: a sign-in
shares its cores with everybody's decisions. Hashes made with other numbers stay valid, and are made anew when their
person signs in."""

AT_ONCE = 2
"""Hashes computed side by side, so that many attempts cost neither all memory nor all cores."""
_LONGEST_WAIT_S = 10.0

_slots = threading.BoundedSemaphore(AT_ONCE)


def hash_password(password: str) -> str:
    """The form in which a password is stored; `password` as `app.domain.people.check_password` returns it."""
    with _slot():
        return HASHER.hash(password)


def is_password(stored: str | None, typed: str) -> bool:
    """Whether this is the password. Takes as long where there is nothing to compare with, so that time tells nothing.

    Args:
        stored: the hash; None for an unknown name, or an account that has no password.
        typed: as it was typed.

    Raises:
        TooManyAttemptsError: too many are being checked at this moment.
    """
    with _slot():
        try:
            HASHER.verify(stored or _nobodys_hash(), normalize_password(typed))
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters than new ones are."""
    return HASHER.check_needs_rehash(stored)


@cache
def _nobodys_hash() -> str:
    return HASHER.hash("the password of a name that does not exist")


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(timeout=_LONGEST_WAIT_S):
        raise TooManyAttemptsError(_LONGEST_WAIT_S)
    try:
        yield
    finally:
        _slots.release()
