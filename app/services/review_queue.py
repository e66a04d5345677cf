"""The order of the queue, and how much is left of it."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, true
from sqlalchemy.orm import Session

from app.domain.states import DecisionKind, ImageState, RegionKind, RegionState
from app.services.comments import is_open_question
from app.services.decoys import is_listed, listed_state
from app.services.review_types import Elsewhere, QueueCounts, QueueFilter, RegionRow
from app.storage.models import Comment, Decision, Image, Region
from app.storage.people import Lease

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


def count_elsewhere(session: Session, filters: QueueFilter, holders: Mapping[int, str]) -> Elsewhere:
    """What a filter leaves out because of other people."""
    free = replace(filters, not_images=frozenset())
    waiting = _waiting(session, free)
    at_work = {image_id: number for image_id, number in waiting.items() if image_id in holders}
    others = _waiting(session, replace(free, person=None)).total() - waiting.total()
    return Elsewhere(sum(at_work.values()), tuple(sorted({holders[image_id] for image_id in at_work})), others)


def _waiting(session: Session, filters: QueueFilter) -> Counter[int]:
    """Number of a filter's regions by image."""
    found = Counter[int]()
    for state in (RegionState.OPEN, RegionState.SKIPPED) if filters.state is None else (filters.state,):
        statement = _filtered(select(Region.image_id, func.count(Region.id)), filters, state).group_by(Region.image_id)
        found.update({row[0]: row[1] for row in session.execute(statement)})
    return found


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
    """How much is left over the whole workspace, whatever a region is for."""
    # Grouped by image first: that reads one index in its order, where a plain join would look up every region's image.
    is_flagged = Region.kind == RegionKind.FLAGGED
    per_image = (
        select(
            Region.image_id,
            Region.state,
            func.count().label("number"),
            func.sum(case((Region.is_asked_regardless & ~is_flagged, 1), else_=0)).label("regardless"),
        )
        .group_by(Region.image_id, Region.state)
        .subquery()
    )
    found = session.execute(
        select(
            per_image.c.state,
            Image.state,
            Image.assignee,
            func.sum(per_image.c.number),
            func.sum(per_image.c.regardless),
        )
        .join(Image, Image.id == per_image.c.image_id)
        .where(Image.deleted_at.is_(None))
        .group_by(per_image.c.state, Image.state, Image.assignee)
    ).all()
    asked, everywhere = _flagged_beyond_queue(session), Counter[RegionState]()
    for state, image_state, assignee, number, regardless in found:
        everywhere[state] += int(number)  # PostgreSQL sums to a decimal.
        if image_state is ImageState.OPEN:
            asked[state, assignee] += int(number)
        elif image_state is ImageState.ENOUGH:
            asked[state, assignee] += int(regardless)
    listed = select(listed_state().label("told")).where(is_listed(session)).subquery()
    images: dict[ImageState, int] = {
        row[0]: row[1] for row in session.execute(select(listed.c.told, func.count()).group_by(listed.c.told))
    }
    return QueueCounts(
        open=sum(number for (state, _), number in asked.items() if state is RegionState.OPEN),
        skipped=sum(number for (state, _), number in asked.items() if state is RegionState.SKIPPED),
        second_review=everywhere[RegionState.SECOND_REVIEW],
        decided=everywhere[RegionState.DECIDED],
        propagated=session.scalar(_COUNT_PROPAGATED) or 0,
        images_waiting=images.get(ImageState.WAITING, 0),
        images_open=images.get(ImageState.OPEN, 0),
        images_enough=images.get(ImageState.ENOUGH, 0),
        images_done=images.get(ImageState.DONE, 0),
        open_of=_by_person(asked, RegionState.OPEN),
        skipped_of=_by_person(asked, RegionState.SKIPPED),
    )


def _by_person(asked: Counter[tuple[RegionState, str | None]], wanted: RegionState) -> dict[str, int]:
    """Regions in one state by whose images they are in, most first; without those of nobody."""
    return {who: number for (state, who), number in asked.most_common() if state is wanted and who and number}


def _flagged_beyond_queue(session: Session) -> Counter[tuple[RegionState, str | None]]:
    """Flagged regions of images that are not queued any more, by state and assignee: they wait nevertheless."""
    statement = (
        select(Region.state, Image.assignee, func.count())
        .join(Image, Image.id == Region.image_id)
        .where(Region.kind == RegionKind.FLAGGED, Region.state.in_((RegionState.OPEN, RegionState.SKIPPED)))
        .where(Image.deleted_at.is_(None), Image.state != ImageState.OPEN)
        .group_by(Region.state, Image.assignee)
    )
    return Counter({(row[0], row[1]): row[2] for row in session.execute(statement)})


def row_of(region: Region, image: Image) -> RegionRow:
    """The queue's line for a region."""
    return RegionRow(
        region_id=region.id, image_id=region.image_id, sample_id=image.sample_id,
        image_name=image.name, number=region.number,
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
        is_shown = is_asked()
        if filters.include_enough:
            is_shown |= Image.state == ImageState.ENOUGH
        statement = statement.where(is_shown)
    if filters.person is not None and state is not RegionState.SECOND_REVIEW:
        statement = statement.where(open_to(filters.person))
    return narrow(statement, filters)


def is_asked() -> ColumnElement[bool]:
    """For a WHERE over `Region` and `Image`: people are asked about it, if it waits.

    What a person called wrong waits for a decision, however little else is left in its image.
    """
    is_enough = Image.state == ImageState.ENOUGH
    return or_(
        Image.state == ImageState.OPEN,
        Region.kind == RegionKind.FLAGGED,
        and_(is_enough, Region.is_asked_regardless == true()),
    )


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


def assigned_to(assignee: str) -> ColumnElement[bool]:
    """For a WHERE over `Image`: this person's, or with "" nobody's."""
    return Image.assignee == assignee if assignee else Image.assignee.is_(None)


def open_to(person: str) -> ColumnElement[bool]:
    """For a WHERE over `Image`: this person's and nobody's."""
    return or_(Image.assignee.is_(None), Image.assignee == person)


def named(names: Collection[str]) -> ColumnElement[bool]:
    """For a WHERE over `Image`: images of these names, as people are shown them, or ids."""
    return or_(Image.name.in_(names), Image.sample_id.in_(names))


def name_holds(text: str) -> ColumnElement[bool]:
    """For a WHERE over `Image`: names that hold a text, whatever the case of its letters."""
    return or_(Image.name.icontains(text, autoescape=True), Image.sample_id.icontains(text, autoescape=True))


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


def count_ahead(session: Session, region: Region, person: str, limit: int) -> int:
    """How many open regions stand before a place in a person's queue, at most `limit`; not in images of others."""
    others = select(Lease.image_id).where(Lease.holder != person)
    ahead = _filtered(select(Region.id), QueueFilter(person=person), RegionState.OPEN)
    ahead = ahead.where(Region.score > region.score, Region.image_id.not_in(others)).limit(limit)
    return session.scalar(select(func.count()).select_from(ahead.subquery())) or 0
