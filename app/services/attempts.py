"""Counting wrong passwords and tokens in the store, so that a restart forgets none."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy.orm import Session

from app.domain.throttle import PER_ADDRESS, PER_NAME, Delays, Failures, one_more, rebased, wait_s
from app.services.people_types import TooManyAttemptsError
from app.storage.database import Store
from app.storage.people import FailedAttempts

_NAME = "name:"


def name_key(name: str) -> str:
    """Under which failures for a name are counted. Hashed, since people type passwords where names belong."""
    return f"{_NAME}{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


def address_key(address: str) -> str:
    """Under which failures from an address are counted."""
    return f"address:{address}"


def count_attempt(session: Session, keys: Sequence[str], now: datetime) -> float:
    """Count an attempt as failed before it is looked at: many at the same time then wait like one after another.

    Args:
        session: keep what it did even when this returns a wait: a clock that was set back is noted in it.
        keys: of the name and the address.

    Returns:
        0.0 when the attempt was counted and may be looked at, else the seconds to wait; then it was not counted.
    """
    rows = {key: session.get(FailedAttempts, key) for key in keys}
    for row in rows.values():
        if row is not None:
            row.last_at = rebased(Failures(row.number, row.last_at), now).last_at
    found = {key: None if row is None else Failures(row.number, row.last_at) for key, row in rows.items()}
    wait = max(wait_s(failures, now, _delays(key)) for key, failures in found.items())
    if wait == 0:
        for key, failures in found.items():
            after = one_more(failures, now, _delays(key))
            session.merge(FailedAttempts(key=key, number=after.number, last_at=after.last_at))
    return wait


@contextmanager
def counted(store: Store, keys: Sequence[str], clock: Callable[[], datetime]) -> Iterator[None]:
    """A block that raises when the attempt was wrong: counted before it is looked at, and taken back when it was right.

    Raises:
        TooManyAttemptsError: the attempt comes too early; the block is not entered.
    """
    with store.session() as session:
        wait = count_attempt(session, keys, clock())
    if wait > 0:
        raise TooManyAttemptsError(wait)
    yield
    with store.session() as session:
        for key in keys:
            _settle(session, key)


def _settle(session: Session, key: str) -> None:
    """A right attempt: a name starts afresh; of an address only this attempt is taken back, or one account of one's own
    would buy as many guesses at others'."""
    row = session.get(FailedAttempts, key)
    if row is None:
        return
    row.number -= 1
    if row.number <= 0 or key.startswith(_NAME):
        session.delete(row)


def _delays(key: str) -> Delays:
    return PER_NAME if key.startswith(_NAME) else PER_ADDRESS
