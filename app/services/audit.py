"""The audit log: one call writes an entry in the transaction of the action, so neither is kept alone."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.csv_text import safe_cell
from app.domain.roles import Actor
from app.storage.audit import AuditEntry
from app.storage.database import Store
from app.storage.models import Image

MAX_TARGET = 255
IMAGE_IDS = "image_ids"
"""Where an entry keeps which images it is about."""

_COLUMNS = ("id", "created_at", "actor", "role", "action", "target", "details")


@dataclass(frozen=True)
class AuditFilter:
    """Which entries to list; None does not filter.

    Attributes:
        actor: only what this person did.
        action: only entries of this kind.
        target: only entries whose target holds this text.
        since: not before this moment.
        until: before this moment.
        before_id: only entries older than this one; for turning pages.
    """

    actor: str | None = None
    action: AuditAction | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None


@dataclass(frozen=True)
class AuditRow:
    """One entry of the log. `role` is what the actor was then, None where nobody had signed in."""

    id: int
    created_at: datetime
    actor: str
    role: str | None
    action: str
    target: str
    details: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API and the Admin page: the time in ISO 8601."""
        return {**self.__dict__, "created_at": self.created_at.isoformat()}


def record(
    session: Session, actor: Actor, action: AuditAction, target: str, details: Mapping[str, Any] | None = None
) -> None:
    """Write one entry; it is kept if and only if the transaction is.

    Args:
        session: the transaction of the action that is written down.
        actor: who.
        action: what.
        target: to what, for example "model 3", "image street_01" or a person's name; cut at 255 characters.
        details: what else matters, as JSON. Never a password or a token.
    """
    role = None if actor.role is None else actor.role.value
    entry = AuditEntry(
        actor=actor.name, role=role, action=action.value, target=target[:MAX_TARGET], details=dict(details or {})
    )
    session.add(entry)


def note(
    store: Store, actor: Actor, action: AuditAction, target: str, details: Mapping[str, Any] | None = None
) -> None:
    """Write one entry about something that changes no row of the store, such as a file that leaves."""
    with store.session() as session:
        record(session, actor, action, target, details)


def list_entries(store: Store, filters: AuditFilter, limit: int) -> list[AuditRow]:
    """Entries of the log, newest first."""
    statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if filters.actor is not None:
        statement = statement.where(AuditEntry.actor == filters.actor)
    if filters.action is not None:
        statement = statement.where(AuditEntry.action == filters.action.value)
    if filters.target is not None:
        statement = statement.where(AuditEntry.target.icontains(filters.target, autoescape=True))
    if filters.since is not None:
        statement = statement.where(AuditEntry.created_at >= filters.since)
    if filters.until is not None:
        statement = statement.where(AuditEntry.created_at < filters.until)
    if filters.before_id is not None:
        statement = statement.where(AuditEntry.id < filters.before_id)
    with store.reader() as session:
        entries = session.scalars(statement).all()
        names = _image_names(session, entries)
        return [_row(entry, names) for entry in entries]


def to_csv(rows: Sequence[AuditRow]) -> str:
    """The entries as a table for a spreadsheet."""
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(_COLUMNS)
    for row in rows:
        content = row.to_json()
        table.writerow([safe_cell(content[column]) for column in _COLUMNS])
    return written.getvalue()


def _row(entry: AuditEntry, names: Mapping[int, str]) -> AuditRow:
    """An entry with names beside the ids of images, which say nothing to people; deleted images keep theirs."""
    details = dict(entry.details)
    if IMAGE_IDS in details:
        details["images"] = [names[image_id] for image_id in details[IMAGE_IDS] if image_id in names]
    return AuditRow(entry.id, entry.created_at, entry.actor, entry.role, entry.action, entry.target, details)


def _image_names(session: Session, entries: Sequence[AuditEntry]) -> dict[int, str]:
    image_ids = {image_id for entry in entries for image_id in entry.details.get(IMAGE_IDS, ())}
    rows = session.execute(select(Image.id, Image.name).where(Image.id.in_(image_ids)))
    return {image_id: name for image_id, name in rows}
