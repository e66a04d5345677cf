"""The action log: every row there is, for reports, for files and for scripts. Pixels are never part of it."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session, aliased

from app.domain.actions import ACTION_COLUMNS, Action
from app.domain.csv_text import safe_cell
from app.domain.decisions import Operation, undone_ids
from app.domain.states import RegionKind
from app.storage.database import Store
from app.storage.history import propagated_regions
from app.storage.models import Decision, Image, Model

_ROWS_AT_ONCE = 1000
_UndoneDecision = aliased(Decision)


class LogFormat(StrEnum):
    """How the log is written to a file."""

    CSV = "csv"
    JSON = "json"
    """One list of objects."""
    JSONL = "jsonl"
    """One JSON object a line: what programs read that do not want all of it in memory."""


@dataclass(frozen=True)
class ActionFilter:
    """Which actions to read; None does not filter.

    Attributes:
        user: only this person's.
        since: not before this moment.
        until: before this moment.
    """

    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, action: Action) -> bool:
        """Whether an action is one of them."""
        is_theirs = self.user is None or action.user == self.user
        is_late = self.since is None or action.time >= self.since
        return is_theirs and is_late and (self.until is None or action.time < self.until)


def read_actions(store: Store, filters: ActionFilter | None = None) -> Iterator[Action]:
    """Actions in the order in which they were stored. The store stays open for reading until the last one is taken."""
    with store.reader() as session:
        undone = _undone(session)
        for row in session.execute(_rows(filters or ActionFilter())):
            yield _action(row, row.op_id in undone)


def actions_after(session: Session, last_id: int) -> Iterator[Action]:
    """Actions behind one, as they are without anything that takes them back, and without their likeliest classes."""
    for row in session.execute(_rows(ActionFilter()).where(Decision.id > last_id)):
        yield _action(row, is_undone=False, with_classes=False)


def write_actions(actions: Iterable[Action], log_format: LogFormat) -> Iterator[str]:
    """The log as text, line by line.

    CSV begins with a line of names; its cells are safe to open in a spreadsheet. All formats hold ACTION_COLUMNS in
    their order.
    """
    if log_format is LogFormat.CSV:
        yield from _csv_lines(actions)
        return
    objects = (json.dumps(action.to_json(), ensure_ascii=False) for action in actions)
    if log_format is LogFormat.JSONL:
        yield from (f"{each}\n" for each in objects)
        return
    yield "["
    for number, each in enumerate(objects):
        yield f"{',' if number else ''}\n{each}"
    yield "\n]\n"


def _csv_lines(actions: Iterable[Action]) -> Iterator[str]:
    yield _csv_line(ACTION_COLUMNS)
    for action in actions:
        values = action.to_json()
        values["top_classes"] = json.dumps(values["top_classes"])
        yield _csv_line(safe_cell(values[name]) for name in ACTION_COLUMNS)


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _undone(session: Session) -> frozenset[str]:
    """Ids of all actions that were taken back."""
    statement = (
        select(Decision.op_id, Decision.kind, Decision.undoes, _UndoneDecision.kind)
        .outerjoin(_UndoneDecision, _UndoneDecision.op_id == Decision.undoes)
        .order_by(Decision.id)
    )
    return undone_ids([Operation(*row) for row in session.execute(statement)])


def _rows(filters: ActionFilter) -> Select[*tuple[Any, ...]]:
    statement = (
        select(
            Decision.id, Decision.op_id, Decision.created_at, Decision.user, Decision.session, Decision.region_id,
            Decision.model_id, Decision.kind, Decision.undoes, Decision.closes_region, Decision.class_id,
            Decision.lock_override, Decision.stats, Image.sha256, Image.sample_id, Model.round,
        )
        .join(Image, Image.id == Decision.image_id)
        .join(Model, Model.id == Decision.model_id)
        .order_by(Decision.id)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )  # fmt: skip
    if filters.user is not None:
        statement = statement.where(Decision.user == filters.user)
    if filters.since is not None:
        statement = statement.where(Decision.created_at >= filters.since)
    if filters.until is not None:
        statement = statement.where(Decision.created_at < filters.until)
    return statement


def _action(row: Row[Any], is_undone: bool, with_classes: bool = True) -> Action:
    logged: dict[str, Any] = row.stats
    classes = logged.get("top_classes", ()) if with_classes else ()
    kind = logged.get("region_kind")
    return Action(
        id=row.id, op_id=row.op_id, time=row.created_at, user=row.user, session=row.session,
        image_sha256=row.sha256, sample_id=row.sample_id, region_id=row.region_id,
        region_kind=None if kind is None else RegionKind(kind), model_id=row.model_id, model_round=row.round,
        method=logged.get("method"), threshold=logged.get("threshold"), area=logged.get("area"),
        mean_reliability=logged.get("mean_confidence"), predicted_class=logged.get("predicted_class"),
        top_classes=tuple((int(entry[0]), float(entry[1])) for entry in classes),
        action=row.kind, undoes=row.undoes, closes_region=row.closes_region, class_id=row.class_id,
        pixels_set=logged.get("pixels_set", 0), pixels_changed=logged.get("pixels_changed", 0),
        propagated_pixels=logged.get("propagated_pixels", 0),
        propagated_regions=len(propagated_regions(logged)), clicks=logged.get("clicks", 0),
        keys=logged.get("keys", 0), strokes=logged.get("strokes", 0), undos=logged.get("undos", 0),
        active_ms=logged.get("active_ms", 0), lock_override=row.lock_override,
        audited_pixels=logged.get("audited_pixels", 0), wrong_pixels=logged.get("wrong_pixels", 0),
        draw_order=logged.get("draw_order"), draw_batch=logged.get("draw_batch"),
        was_given=logged.get("was_given", False), caught=logged.get("caught"), is_undone=is_undone,
    )  # fmt: skip
