"""The parts of labels that the latest look found doubtful, and what became of each since."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.states import ImageRole, ModelStatus, RegionState, SuspectAnswer
from app.domain.suspects import LabelPart, find_part
from app.services.exploring import image_page
from app.services.flagging import latest_region
from app.services.review_types import NotFoundError
from app.services.suspects import label_version, people_label
from app.storage.database import Store
from app.storage.models import Image, Model, Proposal, Region
from app.storage.suspects import PartAnswer, SuspectPart, SuspectSearch
from datasets.labels import LabelArray

_IS_THERE = (Image.id == SuspectPart.image_id) & Image.deleted_at.is_(None)
_PLACE = ("image_id", "class_id", "x0", "y0", "x1", "y1", "area")


@dataclass(frozen=True)
class SuspectRow:
    """One part of a label that may be wrong.

    Attributes:
        id: of this part in the latest look.
        rank: 1 for the most suspicious one.
        is_imported: the label came with the image; otherwise people made it here.
        class_id: what the label says.
        suggested: what the model says most often where it disagrees.
        bbox: x0, y0, x1, y1 in the upright image; the last ones outside.
        area: pixels.
        doubt: mean probability, by the model, that the label is wrong.
        score: how much more the model doubts it than it usually doubts labels of this class.
        answer: what somebody said about it; CHANGED also where the label has become another one otherwise.
        answered_by, answered_at: who and when; None where nobody said anything.
        region_id: the region that was made of it or, before, the one that holds most of it; None without one.
        region_state: of the region that was made of it.
        page: where the reviewer shows its image; None for images that came with their label.
    """

    id: int
    rank: int
    image_id: int
    image_name: str
    is_imported: bool
    class_id: int
    suggested: int
    bbox: tuple[int, int, int, int]
    area: int
    doubt: float
    score: float
    answer: SuspectAnswer
    answered_by: str | None
    answered_at: datetime | None
    region_id: int | None
    region_state: RegionState | None
    page: str | None

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API and the page."""
        return {**asdict(self), "answered_at": None if self.answered_at is None else self.answered_at.isoformat()}


@dataclass(frozen=True)
class SuspectList:
    """A page of the latest list.

    Attributes:
        model_id, round: of the model whose doubt it is.
        is_current: that model proposes now, too.
        min_area: smaller parts were left out, in pixels.
        num_images: images that were looked at.
        num_parts: parts in them.
        num_listed: those of them that were kept and whose image is still there; only those without an answer, if
            only these were asked for.
        found_at: when the look ended, UTC.
        rows: the page.
    """

    model_id: int
    round: int
    is_current: bool
    min_area: int
    num_images: int
    num_parts: int
    num_listed: int
    found_at: datetime
    rows: tuple[SuspectRow, ...]

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API and the page."""
        rows = [row.to_json() for row in self.rows]
        return {**self.__dict__, "found_at": self.found_at.isoformat(), "rows": rows}


@dataclass(frozen=True)
class PlacedPart:
    """A part that is still there as it was listed.

    Attributes:
        row: of the latest list.
        image: its image.
        label: (H, W) of the image, IGNORE_INDEX where no person decided.
        mask: (h, w) the part within its box.
    """

    row: SuspectPart
    image: Image
    label: LabelArray
    mask: NDArray[np.bool_]


def list_suspects(store: Store, limit: int, offset: int = 0, only_open: bool = False) -> SuspectList | None:
    """The parts found by the latest look, likeliest first, without those of images that were deleted since.

    None where nobody has looked yet.

    Args:
        limit: most rows.
        offset: so many are skipped.
        only_open: without parts about which somebody said something, or whose label has changed.
    """
    with store.reader() as session:
        search = session.scalar(select(SuspectSearch))
        if search is None:
            return None
        statement = select(SuspectPart, Image).join(Image, _IS_THERE).order_by(SuspectPart.rank)
        if only_open:
            all_rows = _rows(store, session, [(part, image) for part, image in session.execute(statement)])
            is_open = [row for row in all_rows if row.answer is SuspectAnswer.OPEN]
            rows, listed = is_open[offset : offset + limit], len(is_open)
        else:
            found = [(part, image) for part, image in session.execute(statement.limit(limit).offset(offset))]
            rows = list(_rows(store, session, found))
            listed = session.scalar(select(func.count(SuspectPart.id)).join(Image, _IS_THERE)) or 0
        model = session.get_one(Model, search.model_id)
        return SuspectList(
            model_id=model.id,
            round=model.round,
            is_current=model.status is ModelStatus.CURRENT,
            min_area=search.min_area,
            num_images=search.num_images,
            num_parts=search.num_parts,
            num_listed=listed,
            found_at=search.found_at,
            rows=tuple(rows),
        )


def place_part(store: Store, session: Session, suspect_id: int) -> PlacedPart:
    """A part of the latest list, where it lies in its label now.

    Raises:
        NotFoundError: another look has replaced the list, its image was deleted, or its label changed there or cannot
            be read.
    """
    row, image = find_row(session, suspect_id)
    try:
        label = people_label(store, session, image)
    except (ValueError, OSError) as error:
        raise NotFoundError(
            f"the label of {image.name} cannot be read ({error}). Put the file back from a backup of the workspace, or "
            "import the same folder again if it was never changed here."
        ) from error
    mask = None if label is None else find_part(_part_of(row), label)
    if label is None or mask is None:
        raise NotFoundError(f"the label of {image.name} is another one there since it was listed; look again")
    return PlacedPart(row, image, label, mask)


def find_row(session: Session, suspect_id: int) -> tuple[SuspectPart, Image]:
    """A part of the latest list and its image.

    Raises:
        NotFoundError: another look has replaced the list, or the image was deleted.
    """
    statement = select(SuspectPart, Image).join(Image, _IS_THERE).where(SuspectPart.id == suspect_id)
    found = session.execute(statement).one_or_none()
    if found is None:
        raise NotFoundError(f"the latest list of wrong labels has no part {suspect_id}; read the list again")
    return found[0], found[1]


def part_mask(store: Store, session: Session, row: SuspectPart, image: Image) -> NDArray[np.bool_] | None:
    """(h, w) the part within its box; None where the label is another one there by now or cannot be read."""
    try:
        label = people_label(store, session, image)
    except (ValueError, OSError):
        return None
    return None if label is None else find_part(_part_of(row), label)


def _part_of(row: SuspectPart) -> LabelPart:
    """The part as it was found."""
    return LabelPart(row.image_id, row.class_id, row.suggested, row.bbox, row.area, row.doubt)


def latest_answers(session: Session, image_ids: Iterable[int]) -> dict[tuple[int, ...], PartAnswer]:
    """What counts of what was said about parts of some images, by `place_of` the part."""
    statement = select(PartAnswer).where(PartAnswer.image_id.in_(set(image_ids))).order_by(PartAnswer.id)
    return {place_of(answer): answer for answer in session.scalars(statement)}


def place_of(row: SuspectPart | PartAnswer) -> tuple[int, ...]:
    """What makes two parts the same one: image, class, box and area."""
    return tuple(getattr(row, name) for name in _PLACE)


def _rows(store: Store, session: Session, found: Sequence[tuple[SuspectPart, Image]]) -> Iterable[SuspectRow]:
    answers = latest_answers(session, (image.id for _, image in found))
    now = _LabelsNow(store, session)
    for part, image in found:
        latest = answers.get(place_of(part))
        made = None if latest is None or latest.region_id is None else made_region(session, latest.region_id)
        is_taken_back = made is not None and made.state is RegionState.SUPERSEDED
        counts = None if latest is None or latest.answer is SuspectAnswer.OPEN or is_taken_back else latest
        said = SuspectAnswer.OPEN if counts is None else counts.answer
        if not now.still_have(part, image):
            said = SuspectAnswer.CHANGED
        elif said is SuspectAnswer.CHANGED:  # It was changed back otherwise than by taking that back.
            counts, said = None, SuspectAnswer.OPEN
        yield SuspectRow(
            id=part.id, rank=part.rank, image_id=image.id, image_name=image.name,
            is_imported=image.role is ImageRole.LABELED, class_id=part.class_id, suggested=part.suggested,
            bbox=part.bbox, area=part.area, doubt=part.doubt, score=part.score, answer=said,
            answered_by=None if counts is None else counts.answered_by,
            answered_at=None if counts is None else counts.answered_at,
            region_id=_shown_region(session, part.region_id if made is None or is_taken_back else made.id),
            region_state=None if made is None or is_taken_back else made.state,
            page=image_page(image, ""),
        )  # fmt: skip


def made_region(session: Session, region_id: int) -> Region:
    """The region that was made of a part, or the one of a later proposal that took it over."""
    return latest_region(session, session.get_one(Region, region_id))


def _shown_region(session: Session, region_id: int | None) -> int | None:
    """The region, if the reviewer shows it now."""
    shown = select(Region.id).join(Proposal, Proposal.id == Region.proposal_id).where(Region.id == region_id)
    return session.scalar(shown.where(Proposal.active, Region.state != RegionState.SUPERSEDED))


class _LabelsNow:
    """The labels of some images as they are now; each is read once, and only where something happened to it."""

    def __init__(self, store: Store, session: Session) -> None:
        self._store, self._session = store, session
        self._versions: dict[int, str] = {}
        self._labels: dict[int, LabelArray | None] = {}

    def still_have(self, part: SuspectPart, image: Image) -> bool:
        """Whether the label still has a part as it was found."""
        if image.id not in self._versions:
            self._versions[image.id] = label_version(self._session, image)
        if self._versions[image.id] == part.label_version:
            return True
        if image.id not in self._labels:
            try:
                self._labels[image.id] = people_label(self._store, self._session, image)
            except (ValueError, OSError):  # A label that cannot be read is no more as it was found.
                self._labels[image.id] = None
        label = self._labels[image.id]
        return label is not None and find_part(_part_of(part), label) is not None
