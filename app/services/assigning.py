"""Whose images are whose, and how much is left in each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, or_, select, update
from sqlalchemy.orm import Session

from app.domain.assignment import require_people, share_out
from app.domain.audit import AuditAction
from app.domain.roles import Actor
from app.domain.states import ImageState, RegionKind, RegionState
from app.services.audit import IMAGE_IDS, record
from app.services.decoys import is_listed, listed_state
from app.services.review_queue import assigned_to, name_holds, named, open_to
from app.services.review_types import NotFoundError, ReviewError
from app.storage.database import Store
from app.storage.models import Decision, Image, Region
from app.storage.people import Account

MAX_NAME = 255

_EXPECTED_ERRORS = Region.area * (1.0 - Region.mean_confidence)
"""As `app.domain.queue.expected_errors`, where the database adds it up; confidences in the store lie in 0-1."""


@dataclass(frozen=True)
class ImageFilter:
    """Which images to list.

    Attributes:
        state: only images in this state.
        assignee: only images of this person; "" for images of nobody; None for all.
        text: only images whose name holds this text, whatever the case of its letters.
        person: only images that are this person's or nobody's; None for everybody's.
    """

    state: ImageState | None = None
    assignee: str | None = None
    text: str = ""
    person: str | None = None


@dataclass(frozen=True)
class ImageWork:
    """An image that people review and what is left to do in it.

    Attributes:
        image_id: the image.
        sample_id: its id.
        image_name: what people are shown.
        state: waiting, open, enough or done.
        assignee: whose it is, None when it is nobody's.
        num_open: regions that wait for a decision, skipped ones included.
        num_second_review: regions that somebody did not know.
        num_decided: regions that people decided, of all proposals.
        expected_errors: wrong pixels expected in the regions that are open or skipped.
    """

    image_id: int
    sample_id: str
    image_name: str
    state: ImageState
    assignee: str | None
    num_open: int
    num_second_review: int
    num_decided: int
    expected_errors: float


def list_image_work(
    store: Store, filters: ImageFilter | None = None, limit: int = 100, offset: int = 0
) -> list[ImageWork]:
    """Images that people review, those with the most expected errors first.

    Raises:
        ReviewError: a limit below 1 or an offset below 0.
    """
    if limit < 1 or offset < 0:
        raise ReviewError(f"limit must be at least 1 and offset at least 0, got {limit} and {offset}")
    with store.reader() as session:
        return _image_work(session, filters or ImageFilter(), limit, offset)


def image_ids(store: Store, names: Sequence[str]) -> list[int]:
    """Ids of images that people review, by their names, in the order of these.

    Raises:
        NotFoundError: a name that none of them has.
    """
    with store.reader() as session:
        found = session.execute(select(Image.id, Image.name, Image.sample_id).where(is_listed(session), named(names)))
        known = {name: row.id for row in found for name in (row.sample_id, row.name)}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise NotFoundError(f"there is no image {unknown!r} to review; see: pixelsieve images list")
    return [known[name] for name in names]


def assign_images(store: Store, actor: Actor, image_ids: Collection[int], assignee: str | None) -> int:
    """Give images to a person, or with None back to everybody; how many changed hands.

    Decisions stay, and whoever has one of them open may finish the region.

    Raises:
        NotFoundError: an id that is no image to review; nothing was changed.
        ReviewError: no image, an empty name, or where there are accounts a name that has none.
    """
    if not image_ids:
        raise ReviewError("choose at least one image to assign")
    if assignee is not None and not 1 <= len(assignee) <= MAX_NAME:
        raise ReviewError(f"a person's name has 1-{MAX_NAME} characters, got {len(assignee)}")
    with store.session() as session:
        _require_people(session, [] if assignee is None else [assignee])
        _require_listed(session, image_ids)
        changed = _give(session, image_ids, assignee)
        _record(session, actor, changed, assignee)
        return len(changed)


def share_images(
    store: Store, actor: Actor, people: Sequence[str], image_ids: Collection[int] | None = None
) -> dict[str, int]:
    """Share images out so that everybody has about the same expected work; how many each person got.

    Args:
        people: names, each once.
        image_ids: these images, whoever has them now; None for all unfinished ones that are nobody's.

    Raises:
        NotFoundError: an id that is no image to review; nothing was changed.
        ReviewError: nobody to share with, a name twice, or where there are accounts a name that has none.
    """
    if not people or len(set(people)) != len(people) or not all(1 <= len(name) <= MAX_NAME for name in people):
        raise ReviewError(f"name each person once to share the images with, got {list(people)}")
    with store.session() as session:
        _require_people(session, people)
        if image_ids is not None:
            _require_listed(session, image_ids)
        unfinished = [work for work in _image_work(session, ImageFilter()) if work.state is not ImageState.DONE]
        shared = [work for work in unfinished if _is_shared(work, image_ids)]
        shared_ids = {work.image_id for work in shared}
        already = [
            sum(
                work.expected_errors for work in unfinished if work.assignee == name and work.image_id not in shared_ids
            )
            for name in people
        ]
        persons = share_out([work.expected_errors for work in shared], already)
        numbers = dict.fromkeys(people, 0)
        for index, name in enumerate(people):
            theirs = [work.image_id for work, person in zip(shared, persons, strict=True) if person == index]
            numbers[name] = len(theirs)
            _record(session, actor, _give(session, theirs, name), name)
        return numbers


def possible_owners(store: Store) -> list[str]:
    """Who can be given images, by name: accounts in force; without accounts, everybody who works here already."""
    with store.reader() as session:
        return _possible_owners(session)


def present_owners(store: Store) -> list[str]:
    """Whose images can be asked for, by name: who can be given some, and who has some."""
    with store.reader() as session:
        return sorted({*_owners(session), *_possible_owners(session)})


def _possible_owners(session: Session) -> list[str]:
    if _are_there_accounts(session):
        return _with_account(session)
    return sorted({*_owners(session), *session.scalars(select(Decision.user).distinct())})


def _owners(session: Session) -> set[str]:
    names = session.scalars(select(Image.assignee).distinct().where(Image.assignee.is_not(None)))
    return {name for name in names if name is not None}


def _are_there_accounts(session: Session) -> bool:
    return session.scalar(select(Account.id).limit(1)) is not None


def _with_account(session: Session) -> list[str]:
    return list(session.scalars(select(Account.name).where(Account.disabled_at.is_(None)).order_by(Account.name)))


def _require_people(session: Session, names: Sequence[str]) -> None:
    if not _are_there_accounts(session):
        return  # A name is a name.
    try:
        require_people(names, _with_account(session))
    except ValueError as error:
        raise ReviewError(str(error)) from error


def _is_shared(work: ImageWork, image_ids: Collection[int] | None) -> bool:
    return work.assignee is None if image_ids is None else work.image_id in image_ids


def _give(session: Session, image_ids: Collection[int], assignee: str | None) -> Sequence[int]:
    """Ids of the images that changed hands."""
    other = (
        Image.assignee.is_not(None) if assignee is None else or_(Image.assignee.is_(None), Image.assignee != assignee)
    )
    changed = session.scalars(select(Image.id).where(Image.id.in_(image_ids), other)).all()
    session.execute(update(Image).where(Image.id.in_(changed)).values(assignee=assignee))
    return changed


def _record(session: Session, actor: Actor, image_ids: Sequence[int], assignee: str | None) -> None:
    if image_ids:
        record(session, actor, AuditAction.ASSIGNED, assignee or "everybody", {IMAGE_IDS: list(image_ids)})


def _require_listed(session: Session, image_ids: Collection[int]) -> None:
    known = set(session.scalars(select(Image.id).where(Image.id.in_(image_ids), is_listed(session))))
    unknown = sorted(set(image_ids) - known)
    if unknown:
        raise NotFoundError(f"there is no image {unknown[0]} to review; nothing was changed")


def _image_work(session: Session, filters: ImageFilter, limit: int | None = None, offset: int = 0) -> list[ImageWork]:
    waits = Region.state.in_((RegionState.OPEN, RegionState.SKIPPED))

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    # Where people start from nothing, the model got nothing wrong. All other regions count for what they look like.
    errors = func.coalesce(
        func.sum(case((waits & (Region.kind != RegionKind.CONTROL), _EXPECTED_ERRORS), else_=0.0)), 0.0
    )
    state = listed_state()
    statement = (
        select(
            Image.id, Image.sample_id, Image.name, state, Image.assignee,
            count(waits), count(Region.state == RegionState.SECOND_REVIEW), count(Region.state == RegionState.DECIDED),
            errors,
        )
        .outerjoin(Region, Region.image_id == Image.id)
        .where(is_listed(session), *_conditions(filters))
        .group_by(Image.id)
        .order_by(errors.desc(), Image.id)
        .limit(limit)
        .offset(offset)
    )  # fmt: skip
    return [ImageWork(*row) for row in session.execute(statement)]


def _conditions(filters: ImageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.state is not None:
        conditions.append(listed_state() == filters.state)
    if filters.assignee is not None:
        conditions.append(assigned_to(filters.assignee))
    if filters.text:
        conditions.append(name_holds(filters.text))
    if filters.person is not None:
        conditions.append(open_to(filters.person))
    return conditions
