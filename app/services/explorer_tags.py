"""Tags that people set in the explorer, FiftyOne, take effect in the store, each once until it is taken off."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.explorer import TagCommand, TagOrder, read_orders
from app.domain.roles import Actor, Permission, permits
from app.domain.states import PROBE_KINDS, ImageState
from app.services.assigning import assign_images
from app.services.audit import record
from app.services.comments import add_comment, image_comments
from app.services.decoys import is_listed
from app.services.review_states import refresh_states
from app.services.review_types import NotAllowedError, ReviewError
from app.storage.database import Store
from app.storage.explorer import AppliedTag
from app.storage.models import Image, Region

FRONT_WEIGHT = 10.0
"""What the scores of an image's regions are multiplied by when it goes to the front. Chosen by us: more than lies
between the best and the median region of our pools, and the order among such images stays that of their scores."""

QUESTION = "Tagged '{tag}' in FiftyOne: please look at this image."


@dataclass(frozen=True)
class TagReport:
    """What the tags of one look changed, as (sample id, tag), and what could not be done, with the reason."""

    applied: tuple[tuple[str, str], ...]
    withdrawn: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class _Waiting:
    """A tag of one image that has to take effect, or to be withdrawn."""

    image: Image
    order: TagOrder


def pending_tags(store: Store, tags: Mapping[str, Collection[str]]) -> tuple[int, int]:
    """How many tags would take effect now and how many would be withdrawn; see `apply_tags`."""
    new, gone = _pending(store, tags)
    return len(new), len(gone)


def apply_tags(store: Store, tags: Mapping[str, Collection[str]], actor: Actor) -> TagReport:
    """Let new tags take effect and withdraw those that were taken off. A second call changes nothing.

    No decision is ever changed. The audit log has an entry for each tag, and so have its assignments.

    Args:
        tags: all tags of each sample, by the hash of its image; images without a sample stay as they are.
        actor: who runs the sync, and in whose name the tags take effect: FiftyOne has no accounts.
    """
    new, gone = _pending(store, tags)
    applied, withdrawn, refused = [], [], []
    for waiting in gone:
        _withdraw(store, waiting, actor)
        withdrawn.append((waiting.image.name, waiting.order.tag))
    for waiting in new:
        try:
            _apply(store, waiting, actor)
            applied.append((waiting.image.name, waiting.order.tag))
        except ReviewError as error:  # One image that cannot take a tag is no reason to leave out the others.
            refused.append((waiting.image.name, waiting.order.tag, str(error)))
    return TagReport(tuple(applied), tuple(withdrawn), tuple(refused))


def tags_in_force(store: Store) -> dict[str, list[str]]:
    """By the hash of their image. A new sample gets them: who loses FiftyOne's database takes no tag off."""
    statement = select(Image.sha256, AppliedTag.tag).join(AppliedTag, AppliedTag.image_id == Image.id)
    found: dict[str, list[str]] = {}
    with store.reader() as session:
        for sha256, tag in session.execute(statement.order_by(AppliedTag.tag)):
            found.setdefault(sha256, []).append(tag)
    return found


def _pending(store: Store, tags: Mapping[str, Collection[str]]) -> tuple[list[_Waiting], list[_Waiting]]:
    with store.reader() as session:
        images = session.scalars(select(Image).where(Image.deleted_at.is_(None)).order_by(Image.sample_id)).all()
        in_force: dict[int, set[TagOrder]] = {}
        for row in session.scalars(select(AppliedTag)):
            in_force.setdefault(row.image_id, set()).update(read_orders([row.tag]))
    new, gone = [], []
    for image in images:
        if image.sha256 in tags:
            wanted, known = read_orders(tags[image.sha256]), in_force.get(image.id, set())
            new += [_Waiting(image, order) for order in sorted(wanted - known, key=lambda order: order.tag)]
            gone += [_Waiting(image, order) for order in sorted(known - wanted, key=lambda order: order.tag)]
    return new, gone


def _apply(store: Store, waiting: _Waiting, actor: Actor) -> None:
    """Do what a tag says and write down that it is in force.

    Each effect looks first whether it is there already: a crash between effect and row then repeats nothing.

    Raises:
        ReviewError: the image cannot take this tag; nothing was changed.
    """
    image, order = waiting.image, waiting.order
    if order.command is not TagCommand.FLAG and not _is_listed(store, image):
        raise ReviewError(f"{image.name} is a {image.role} image that nobody reviews")
    if order.command is TagCommand.ASSIGN:
        if not permits(actor.role, Permission.ASSIGN):
            raise NotAllowedError(f"{actor.name} is {actor.role} here; reviewers and leads say whose images are whose")
        assign_images(store, actor, [image.id], order.name)
    elif order.command is TagCommand.FLAG or image.state is ImageState.DONE:
        _ask(store, waiting, actor)
    with store.session() as session:
        if order.command is TagCommand.REVIEW:
            _set_weight(session, image.id, FRONT_WEIGHT)
        session.add(AppliedTag(image_id=image.id, tag=order.tag))
        _record(session, waiting, actor, "applied")


def _is_listed(store: Store, image: Image) -> bool:
    with store.reader() as session:
        return session.scalar(select(Image.id).where(Image.id == image.id, is_listed(session))) is not None


def _withdraw(store: Store, waiting: _Waiting, actor: Actor) -> None:
    """Take back what lasts only as long as its tag; a question stays until somebody answers it."""
    image, order = waiting.image, waiting.order
    if order.command is TagCommand.ASSIGN and image.assignee == order.name:
        assign_images(store, actor, [image.id], None)
    with store.session() as session:
        if order.command is TagCommand.REVIEW:
            _set_weight(session, image.id, 1.0)
        of_order = (AppliedTag.image_id == image.id) & (AppliedTag.tag == order.tag)
        session.execute(delete(AppliedTag).where(of_order))
        _record(session, waiting, actor, "withdrawn")


def _ask(store: Store, waiting: _Waiting, actor: Actor) -> None:
    text = QUESTION.format(tag=waiting.order.tag)
    if not any(comment.is_open and comment.text == text for comment in image_comments(store, waiting.image.id)):
        add_comment(store, actor.name, text, waiting.image.id, is_question=True)


def _set_weight(session: Session, image_id: int, weight: float) -> None:
    """Let an image's regions count more or less in the queue, those of its present proposals and of later ones."""
    image = session.get_one(Image, image_id)
    factor = weight / image.queue_weight
    if factor != 1.0:
        # Probes keep the places that chance gave them.
        moves = (Region.image_id == image_id) & Region.kind.not_in(PROBE_KINDS)
        session.execute(update(Region).where(moves).values(score=Region.score * factor))
        image.queue_weight = weight
        refresh_states(session, image)


def _record(session: Session, waiting: _Waiting, actor: Actor, what: str) -> None:
    details = {"tag": waiting.order.tag, "what": what, "image_id": waiting.image.id}
    record(session, actor, AuditAction.EXPLORE, f"image {waiting.image.name}", details)
