"""What people say about parts of labels that may be wrong: right, for somebody to decide, or of another class."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.decisions import PENDING_STATES, Delta, delta_from_mask
from app.domain.roles import Actor
from app.domain.states import DecisionKind, ImageRole, SuspectAnswer
from app.services.audit import record
from app.services.flagging import FlaggedArea, FlagRequest, append_flag
from app.services.importing import class_pixels
from app.services.labels import active_proposal
from app.services.recording import find_again, result_of
from app.services.review_actions import check_names
from app.services.review_types import ConflictError, DecisionResult, NotFoundError, ReviewError
from app.services.showing import shown_image
from app.services.suspect_list import PlacedPart, find_row, latest_answers, made_region, place_of, place_part
from app.storage.database import Store
from app.storage.models import Image, Proposal, Region
from app.storage.planes import ProposalPlanes
from app.storage.settings import require_class_set
from app.storage.suspects import PartAnswer, SuspectPart
from datasets.files import write_atomically
from datasets.images import encode_plane_png, read_plane
from datasets.labels import IGNORE_INDEX, LabelArray

Plane = TypeVar("Plane", bound=np.generic)


@dataclass(frozen=True)
class SendRequest:
    """Somebody wants a part of a label decided again.

    Attributes:
        op_id: the client's own id of this action, 1-64 characters; sending it again does nothing a second time.
        suspect_id: the part, of the latest list.
        user: who.
        session: which browser tab.
    """

    op_id: str
    suspect_id: int
    user: str
    session: str


def send_to_review(store: Store, request: SendRequest) -> DecisionResult:
    """Make a region of a part that people labeled here: it waits in the queue like a flagged area.

    The label stays what it is until somebody decides the region. One undo takes all of it back.

    Raises:
        NotFoundError: another look replaced the list, the image was deleted, or its label changed there.
        ReviewError: the label came with its image, or the part waits already.
    """
    check_names(request.op_id, request.user, request.session)
    _warm(store, request.suspect_id)
    with store.session() as session:
        known = find_again(session, request.op_id, DecisionKind.FLAG, request.user, None)
        if known is not None:
            return result_of(session, known, replayed=True)
        placed = place_part(store, session, request.suspect_id)
        row, image = placed.row, placed.image
        proposal = active_proposal(session, image.id)
        if image.role is not ImageRole.POOL or proposal is None:
            raise ReviewError(
                f"the label of {image.name} came with it, and the reviewer does not show it; say that it is right, or "
                "give the part another class"
            )
        planes = shown_image(store, session, image, proposal).planes
        _refuse_waiting(session, placed, proposal, planes.region_map)
        pixels = delta_from_mask(placed.mask, _box(placed.label, row), row.x0, row.y0)
        marked = FlagRequest(request.op_id, image.id, *_pixel_of(pixels), request.user, request.session)
        others = () if row.suggested == row.class_id else ((row.suggested, _said_share(planes, placed)),)
        result = append_flag(session, marked, image, proposal, FlaggedArea(pixels, 1 - row.doubt, others))
        session.add(_answer(row, SuspectAnswer.SENT, request.user, region_id=result.region_id))
        return result


def say_right(store: Store, actor: Actor, suspect_id: int) -> None:
    """Note that the label is right there; it is marked so in later lists, too, as long as the part is the same.

    Raises:
        NotFoundError: see `place_part`.
        ReviewError: it was sent to review and waits there.
    """
    with store.session() as session:
        placed = place_part(store, session, suspect_id)
        _refuse_sent(session, placed)
        session.add(_answer(placed.row, SuspectAnswer.RIGHT, actor.name))


def change_imported(store: Store, actor: Actor, suspect_id: int, class_id: int | None) -> None:
    """Give a part of an imported label another class, or with None no class. The file that it came with stays.

    Raises:
        NotFoundError: see `place_part`.
        ReviewError: people labeled it here, there is no such class, or it has that class.
    """
    with store.session() as session:
        placed = place_part(store, session, suspect_id)
        image, row = placed.image, placed.row
        classes = require_class_set(session)
        if image.role is not ImageRole.LABELED or image.label_path is None:
            raise ReviewError(f"people labeled {image.name} here; send the part to review, where somebody decides it")
        if class_id is not None and not 0 <= class_id < len(classes):
            raise ReviewError(f"class_id must be 0-{len(classes) - 1} or null, got {class_id}")
        if class_id == row.class_id:
            raise ReviewError(f"the label of {image.name} says class {class_id} there already; nothing was changed")
        label = placed.label.copy()
        _box(label, row)[placed.mask] = IGNORE_INDEX if class_id is None else class_id
        before = image.label_path
        after = _write_label(store, image, label)
        _use_label(store, image, after, label, len(classes))
        session.add(_answer(row, SuspectAnswer.CHANGED, actor.name, label_before=before, label_after=after))
        told = {"bbox": list(row.bbox), "pixels": row.area, "from": row.class_id, "to": class_id}
        record(session, actor, AuditAction.LABEL_CHANGED, f"image {image.name}", told)


def take_back(store: Store, actor: Actor, suspect_id: int) -> None:
    """Forget that a part is right, or give a part of an imported label its old class again.

    Raises:
        NotFoundError: another look replaced the list, or the image was deleted.
        ReviewError: nothing was said about it, or it was sent to review.
        ConflictError: the image's label was changed again since, or the one before it cannot be read.
    """
    with store.session() as session:
        row, image = find_row(session, suspect_id)
        latest = latest_answers(session, [image.id]).get(place_of(row))
        said = SuspectAnswer.OPEN if latest is None else latest.answer
        if latest is None or said in (SuspectAnswer.OPEN, SuspectAnswer.SENT):
            raise ReviewError(
                "what was sent to review is decided there, or taken back with Ctrl+Z by whoever sent it"
                if said is SuspectAnswer.SENT
                else "nobody has said anything about this part"
            )
        if said is SuspectAnswer.CHANGED:
            if image.label_path != latest.label_after or latest.label_before is None:
                raise ConflictError(f"the label of {image.name} was changed again since; take that back first")
            label = _read_before(store, image, latest.label_before)
            _use_label(store, image, latest.label_before, label, len(require_class_set(session)))
            told = {"bbox": list(row.bbox), "pixels": row.area, "to": row.class_id}
            record(session, actor, AuditAction.LABEL_CHANGED, f"image {image.name}", told)
        session.add(_answer(row, SuspectAnswer.OPEN, actor.name))


def _warm(store: Store, suspect_id: int) -> None:
    """Decode the planes before the write lock is taken, so that nobody waits for that.

    A part that is not in the list any more may have been sent already, which is for the sending to say.
    """
    with suppress(NotFoundError), store.reader() as session:
        _, image = find_row(session, suspect_id)
        proposal = active_proposal(session, image.id)
        if proposal is not None:
            planes = shown_image(store, session, image, proposal).planes
            for name in ("label", "reliable", "region_map", "unreliability"):
                getattr(planes, name)


def _refuse_sent(session: Session, placed: PlacedPart) -> None:
    """Refuse a part that somebody sent to review, as long as it waits there: it is asked whatever is said here."""
    latest = latest_answers(session, [placed.image.id]).get(place_of(placed.row))
    if latest is None or latest.region_id is None:
        return
    if made_region(session, latest.region_id).state in PENDING_STATES:
        raise ReviewError(f"{latest.answered_by} sent this part of {placed.image.name} to review, where it is decided")


def _refuse_waiting(session: Session, placed: PlacedPart, proposal: Proposal, region_map: NDArray[np.uint16]) -> None:
    """Refuse a part of which a piece waits for a decision already."""
    numbers = np.unique(_box(region_map, placed.row)[placed.mask]).tolist()
    waits = (Region.proposal_id == proposal.id) & Region.number.in_(numbers) & Region.state.in_(PENDING_STATES)
    if session.scalar(select(Region.id).where(waits).limit(1)) is not None:
        raise ReviewError(f"a region of {placed.image.name} that holds some of this part waits for a decision already")


def _said_share(planes: ProposalPlanes, placed: PlacedPart) -> float:
    """Mean probability of the class that the model suggests, at least: other pixels keep that of another class only."""
    says = _box(planes.label, placed.row) == placed.row.suggested
    right = 1 - _box(planes.unreliability, placed.row) / 255
    return float(np.where(says, right, 0.0)[placed.mask].mean())


def _write_label(store: Store, image: Image, label: LabelArray) -> str:
    """A new file with a label of an image, called by what it holds; its path in the workspace.

    By a number it would come again after a snapshot was restored, and a round that froze the other label would go on.
    """
    content = encode_plane_png(label)
    path = store.workspace.labels / f"{image.sha256}-{hashlib.sha256(content).hexdigest()[:16]}.png"
    write_atomically(path, content)
    return store.workspace.relative(path)


def _read_before(store: Store, image: Image, path: str) -> LabelArray:
    """The label of an image that a change replaced. Raises: ConflictError: its file is damaged or gone."""
    try:
        return read_plane(store.workspace.absolute(path))
    except (ValueError, OSError) as error:
        raise ConflictError(
            f"the label that {image.name} had before cannot be read ({error}), so the change stays; put the file back "
            "from a backup of the workspace."
        ) from error


def _use_label(store: Store, image: Image, path: str, label: LabelArray, num_classes: int) -> None:
    image.label_path = path
    image.label_sha256 = hashlib.sha256(store.workspace.absolute(path).read_bytes()).hexdigest()
    image.class_pixels = class_pixels(label, num_classes)


def _answer(
    row: SuspectPart,
    answer: SuspectAnswer,
    user: str,
    *,
    region_id: int | None = None,
    label_before: str | None = None,
    label_after: str | None = None,
) -> PartAnswer:
    return PartAnswer(
        image_id=row.image_id, class_id=row.class_id, x0=row.x0, y0=row.y0, x1=row.x1, y1=row.y1, area=row.area,
        answer=answer, region_id=region_id, label_before=label_before, label_after=label_after, answered_by=user,
    )  # fmt: skip


def _box(plane: NDArray[Plane], row: SuspectPart) -> NDArray[Plane]:
    return plane[row.y0 : row.y1, row.x0 : row.x1]


def _pixel_of(pixels: Delta) -> tuple[int, int]:
    """Column and row of one of its pixels."""
    rows, columns = np.nonzero(pixels.touched_mask)
    return pixels.x0 + int(columns[0]), pixels.y0 + int(rows[0])
