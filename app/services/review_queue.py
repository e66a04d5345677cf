"""The order of the queue, and how much is left of it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, true
from sqlalchemy.orm import Session

from app.domain.states import PROBE_KINDS, DecisionKind, ImageState, RegionKind, RegionState
from app.services.comments import is_open_question
from app.services.review_types import QueueCounts, QueueFilter, RegionRow
from app.storage.models import Comment, Decision, Image, Region
from app.storage.probes import Probe

_LAST_SKIP = (
    select(func.max(Decision.id))
    .where(Decision.region_id == Region.id, Decision.kind == DecisionKind.SKIP)
    .correlate(Region)
    .scalar_subquery()
)

_COUNT_PROPAGATED = (
    select(func.count())
    .select_from(Region)
    .join(Image, Image.id == Region.image_id)
    .where(Region.propagated == true(), Image.deleted_at.is_(None))
)


@dataclass(frozen=True)
class QueuePlace:
    """A region's place in the queue: open ones by falling score, then skipped ones in the order of skipping.

    Attributes:
        region_id: the region.
        score: its score.
        last_skip: id of its last skip, for a region that waits among the skipped ones, else None.
    """

    region_id: int
    score: float
    last_skip: int | None = None


def region_rows(session: Session, filters: QueueFilter, limit: int, offset: int) -> list[RegionRow]:
    """Regions in queue order. Without a state in the filter: open ones, then skipped ones."""
    if filters.state is not None:
        return _page(session, filters, filters.state, limit, offset)
    rows = _page(session, filters, RegionState.OPEN, limit, offset)
    if len(rows) == limit:
        return rows
    num_open = session.scalar(_filtered(select(func.count(Region.id)), filters, RegionState.OPEN)) or 0
    return rows + _page(session, filters, RegionState.SKIPPED, limit - len(rows), max(0, offset - num_open))


def next_in_queue(session: Session, filters: QueueFilter, after: QueuePlace | None) -> int | None:
    """The region that follows a place; behind the last one, the first again; None when the queue is empty."""
    if after is not None:
        following = _following(session, filters, after)
        if following is not None:
            return following
    first = region_rows(session, filters, limit=1, offset=0)
    return first[0].region_id if first else None


def place_of(session: Session, region: Region) -> QueuePlace:
    """Where a region stands in the queue now."""
    if region.state is not RegionState.SKIPPED:
        return QueuePlace(region.id, region.score)
    return QueuePlace(region.id, region.score, session.scalar(select(_LAST_SKIP).where(Region.id == region.id)))


def count_regions(session: Session) -> QueueCounts:
    """How much is left over the whole workspace, without probes that wait: these are somebody's, or nobody's."""
    # Grouped by image first: that reads one index in its order, where a plain join would look up every region's image.
    is_waiting_probe = and_(Region.kind.in_(PROBE_KINDS), Region.state.in_((RegionState.OPEN, RegionState.SKIPPED)))
    per_image = (
        select(Region.image_id, Region.state, func.sum(case((is_waiting_probe, 0), else_=1)).label("number"))
        .group_by(Region.image_id, Region.state)
        .subquery()
    )
    regions: dict[tuple[RegionState, ImageState], int] = {
        (row[0], row[1]): int(row[2])  # PostgreSQL sums to a decimal.
        for row in session.execute(
            select(per_image.c.state, Image.state, func.sum(per_image.c.number))
            .join(Image, Image.id == per_image.c.image_id)
            .where(Image.deleted_at.is_(None))
            .group_by(per_image.c.state, Image.state)
        )
    }
    beyond = _flagged_beyond_queue(session)
    images: dict[ImageState, int] = {
        row[0]: row[1]
        for row in session.execute(
            select(Image.state, func.count()).where(Image.deleted_at.is_(None)).group_by(Image.state)
        )
    }
    return QueueCounts(
        open=regions.get((RegionState.OPEN, ImageState.OPEN), 0) + beyond.get(RegionState.OPEN, 0),
        skipped=regions.get((RegionState.SKIPPED, ImageState.OPEN), 0) + beyond.get(RegionState.SKIPPED, 0),
        second_review=sum(count for (state, _), count in regions.items() if state is RegionState.SECOND_REVIEW),
        decided=sum(count for (state, _), count in regions.items() if state is RegionState.DECIDED),
        propagated=session.scalar(_COUNT_PROPAGATED) or 0,
        images_waiting=images.get(ImageState.WAITING, 0),
        images_open=images.get(ImageState.OPEN, 0),
        images_enough=images.get(ImageState.ENOUGH, 0),
        images_done=images.get(ImageState.DONE, 0),
    )


def _flagged_beyond_queue(session: Session) -> dict[RegionState, int]:
    """Flagged regions of images that are not queued any more, by state: they wait nevertheless."""
    statement = (
        select(Region.state, func.count())
        .join(Image, Image.id == Region.image_id)
        .where(Region.kind == RegionKind.FLAGGED, Region.state.in_((RegionState.OPEN, RegionState.SKIPPED)))
        .where(Image.deleted_at.is_(None), Image.state != ImageState.OPEN)
        .group_by(Region.state)
    )
    return {row[0]: row[1] for row in session.execute(statement)}


def row_of(region: Region, image: Image) -> RegionRow:
    """The queue's line for a region."""
    return RegionRow(
        region_id=region.id, image_id=region.image_id, sample_id=image.sample_id, number=region.number,
        kind=_told_kind(region.kind), class_id=region.class_id, area=region.area, bbox=region.bbox,
        mean_confidence=region.mean_confidence, score=region.score, state=region.state, assignee=image.assignee,
    )  # fmt: skip


def _told_kind(kind: RegionKind) -> RegionKind:
    """What people are told: audits and planted errors look like any region of the queue."""
    return RegionKind.QUEUE if kind in (RegionKind.AUDIT, RegionKind.PLANTED) else kind


def _page(session: Session, filters: QueueFilter, state: RegionState, limit: int, offset: int) -> list[RegionRow]:
    statement = _filtered(select(Region, Image), filters, state)
    statement = statement.order_by(*_order(state)).limit(limit).offset(offset)
    return [row_of(region, image) for region, image in session.execute(statement)]


def _order(state: RegionState) -> tuple[ColumnElement[Any], ...]:
    by_score = (Region.score.desc(), Region.id.asc())
    return (_LAST_SKIP.asc(), *by_score) if state is RegionState.SKIPPED else by_score


def _filtered(
    statement: Select[*tuple[Any, ...]], filters: QueueFilter, state: RegionState
) -> Select[*tuple[Any, ...]]:
    statement = statement.join(Image, Image.id == Region.image_id).where(
        Region.state == state, Image.deleted_at.is_(None)
    )
    if state in (RegionState.OPEN, RegionState.SKIPPED):
        shown = (ImageState.OPEN, ImageState.ENOUGH) if filters.include_enough else (ImageState.OPEN,)
        # What a person called wrong waits for a decision, however little else is left in its image.
        statement = statement.where(Image.state.in_(shown) | Region.kind.in_((RegionKind.FLAGGED, *PROBE_KINDS)))
        if not filters.as_in_picture:
            statement = statement.where(Region.kind.not_in(PROBE_KINDS) | _given_to(filters.person))
    if filters.person is not None and state is not RegionState.SECOND_REVIEW:
        statement = statement.where(open_to(filters.person))
    return narrow(statement, filters)


def narrow(statement: Select[*tuple[Any, ...]], filters: QueueFilter) -> Select[*tuple[Any, ...]]:
    """A query over `Region` and `Image` with what a person chose to see."""
    if filters.class_id is not None:
        statement = statement.where(Region.class_id == filters.class_id)
    if filters.image_id is not None:
        statement = statement.where(Region.image_id == filters.image_id)
    if filters.not_images:
        statement = statement.where(Region.image_id.not_in(filters.not_images))
    if filters.assignee is not None:
        statement = statement.where(assigned_to(filters.assignee))
    if filters.text:
        statement = statement.where(name_holds(filters.text))
    if filters.asked:
        is_about = and_(
            Comment.image_id == Region.image_id, or_(Comment.region_id.is_(None), Comment.region_id == Region.id)
        )
        statement = statement.where(exists().where(is_about, is_open_question()))
    return statement


def _given_to(person: str | None) -> ColumnElement[bool]:
    """For a WHERE over `Region`: probes that the queue gave this person, or with None anybody."""
    given = Probe.person.is_not(None) if person is None else Probe.person == person
    return exists().where(Probe.region_id == Region.id, given)


def assigned_to(assignee: str) -> ColumnElement[bool]:
    """For a WHERE over `Image`: this person's, or with "" nobody's."""
    return Image.assignee == assignee if assignee else Image.assignee.is_(None)


def open_to(person: str) -> ColumnElement[bool]:
    """For a WHERE over `Image`: this person's and nobody's."""
    return or_(Image.assignee.is_(None), Image.assignee == person)


def name_holds(text: str) -> ColumnElement[bool]:
    """For a WHERE over `Image`: names that hold a text, whatever the case of its letters."""
    return Image.sample_id.icontains(text, autoescape=True)


def _following(session: Session, filters: QueueFilter, after: QueuePlace) -> int | None:
    """The region behind a place, without starting again at the front."""
    states = [RegionState.OPEN, RegionState.SKIPPED] if filters.state is None else [filters.state]
    if after.last_skip is not None:
        states = [state for state in states if state is RegionState.SKIPPED]
    for state in states:
        statement = _filtered(select(Region.id), filters, state).order_by(*_order(state)).limit(1)
        if after.last_skip is not None:
            statement = statement.where(_LAST_SKIP > after.last_skip)
        elif state is not RegionState.SKIPPED:
            # One range of the index and a condition within it: as "lower, or equal and later" it would be sorted anew.
            later = or_(Region.score < after.score, Region.id > after.region_id)
            statement = statement.where(Region.score <= after.score, later)
        found: int | None = session.scalar(statement)
        if found is not None:
            return found
    return None
