"""What goes into the review service, what comes out, and the ways in which it refuses."""

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.domain.decisions import Delta, LabelState, base_provenance, replay
from app.domain.states import DecisionKind, ImageRole, ImageState, RegionKind, RegionState
from app.storage.planes import ProposalPlanes
from datasets.labels import LabelArray


class ReviewError(ValueError):
    """The request makes no sense; nothing was changed. The message is for the person who sent it."""


class NotFoundError(ReviewError):
    """No such image, region or decision."""


class LockedPixelsError(ReviewError):
    """A drawing touches reliable pixels and did not ask to unlock them. Nothing of it was saved."""


class NotAllowedError(ReviewError):
    """The person's role does not allow this. Nothing was changed."""


class ConflictError(ReviewError):
    """Somebody else decided the same pixels since the sender last saw them. Nothing was overwritten.

    Attributes:
        user: who decided, or None when a new proposal is the reason.
        decided_at: when.
    """

    def __init__(self, message: str, user: str | None = None, decided_at: datetime | None = None) -> None:
        super().__init__(message)
        self.user = user
        self.decided_at = decided_at


class ActionStats(BaseModel):
    """What the browser counted between showing a region and this action. All counts from 0 upwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clicks: int = Field(default=0, ge=0, le=1_000_000)
    keys: int = Field(default=0, ge=0, le=1_000_000)
    strokes: int = Field(default=0, ge=0, le=1_000_000)
    undos: int = Field(default=0, ge=0, le=1_000_000)
    active_ms: int = Field(default=0, ge=0, le=86_400_000)
    """Milliseconds of work; a pause counts with at most 15 s."""


@dataclass(frozen=True)
class QueueFilter:
    """Which regions to list.

    Attributes:
        state: one state; None lists what a reviewer should do next: open ones by falling score, then skipped ones
            in the order in which they were skipped.
        class_id: only regions that the model calls this class.
        image_id: only regions of this image.
        include_enough: also regions of images that are already good enough.
        person: only regions of images that are this person's or nobody's, and what somebody did not know, which is
            for every reviewer; None for everybody's.
        assignee: only regions of images that are this person's; "" for those that are nobody's; None for all.
        text: only regions of images whose name holds this text, whatever the case of its letters.
        not_images: no regions of these images, because somebody else works on them.
        asked: only regions about which a question is open, or about whose image as a whole.
    """

    state: RegionState | None = None
    class_id: int | None = None
    image_id: int | None = None
    include_enough: bool = False
    person: str | None = None
    assignee: str | None = None
    text: str = ""
    asked: bool = False
    not_images: frozenset[int] = frozenset()


@dataclass(frozen=True)
class RegionRow:
    """One line of the queue. `bbox` is x0, y0, x1, y1 with x1 and y1 exclusive, in pixels of the upright image."""

    region_id: int
    image_id: int
    sample_id: str
    image_name: str
    number: int
    kind: RegionKind
    class_id: int
    area: int
    bbox: tuple[int, int, int, int]
    mean_confidence: float
    score: float
    state: RegionState
    assignee: str | None

    def to_json(self) -> dict[str, Any]:
        """As people are told it: without the score, which says of an audit that it has another than it would earn."""
        return {name: value for name, value in asdict(self).items() if name != "score"}


@dataclass(frozen=True)
class TopClass:
    """A class and its mean probability over a region."""

    class_id: int
    probability: float


@dataclass(frozen=True)
class RegionView:
    """What the reviewer page needs to open a region.

    Attributes:
        row: the line of the queue.
        size_wh: width and height of its image in pixels.
        top_classes: up to five likeliest classes, likeliest first.
        proposal_id: which proposal the region belongs to.
        model_id: which model proposed it.
        image_version: id of the image's last decision; send it back with the next one.
    """

    row: RegionRow
    size_wh: tuple[int, int]
    top_classes: tuple[TopClass, ...]
    proposal_id: int
    model_id: int
    image_version: int

    def to_json(self) -> dict[str, Any]:
        """As people are told it."""
        return {**asdict(self), "row": self.row.to_json()}


@dataclass(frozen=True)
class QueueCounts:
    """How much is left, over all images that are not deleted; the same number for everybody.

    `open` and `skipped` leave out images that are enough.

    `open_of` and `skipped_of` say how many of these are in images of each person; the others are for everybody.

    `propagated` are those of `decided` that were decided together with others after a preview, not looked at alone.
    """

    open: int
    skipped: int
    second_review: int
    decided: int
    propagated: int
    images_waiting: int
    images_open: int
    images_enough: int
    images_done: int
    open_of: dict[str, int]
    skipped_of: dict[str, int]

    @property
    def images(self) -> int:
        """All that people review, decoys with the pool."""
        return self.images_waiting + self.images_open + self.images_enough + self.images_done


@dataclass(frozen=True)
class Elsewhere:
    """What a person's queue leaves out because of other people.

    Attributes:
        at_work: regions of images on which somebody else works now; they come as soon as that person goes on.
        people: who that is, by name.
        others: regions of images that are somebody else's.
    """

    at_work: int
    people: tuple[str, ...]
    others: int


@dataclass(frozen=True)
class DecisionRequest:
    """One action of one person.

    Attributes:
        op_id: the client's own id of this action, 1-64 characters; sending it again does nothing a second time.
        kind: accept, relabel, void, dont_know, skip, draw, accept_rest or propagate.
        image_id: the image.
        image_version: `image_version` of the planes, region or result the sender saw last.
        user: who.
        session: which browser tab; decisions of the same tab never conflict with each other.
        region_id: the region; may be None for draw only.
        class_id: the new class for relabel; for propagate likewise, None for void. Else None.
        delta: the drawn pixels for draw; None when a drawing is only finished. Else None.
        lock_override: the person unlocked reliable pixels; logged.
        closes_region: for draw: the region is finished, and its pixels that were not drawn are right as shown.
        propagate_to: for propagate: ids of the regions that get the class of `region_id`.
        stats: what the browser counted.
        may_second_review: the person may decide what somebody did not know.
    """

    op_id: str
    kind: DecisionKind
    image_id: int
    image_version: int
    user: str
    session: str
    region_id: int | None = None
    class_id: int | None = None
    delta: Delta | None = None
    lock_override: bool = False
    closes_region: bool = False
    propagate_to: tuple[int, ...] = ()
    stats: ActionStats = ActionStats()
    may_second_review: bool = True


@dataclass(frozen=True)
class RegionNow:
    """How far a region is."""

    region_id: int
    number: int
    state: RegionState


@dataclass(frozen=True)
class DecisionResult:
    """The state after an action that is safely on disk.

    Attributes:
        op_id: the action's id.
        kind: what it was.
        image_id: the image it changed; for an undo the image of the action that was taken back.
        region_id: likewise the region, if any.
        region_state: that region's state now.
        image_state: that image's state now.
        image_version: to be sent with the next action on this image.
        foreign_version: id of the image's newest decision of another tab or person, 0 without one. When it is newer
            than the `image_version` that the sender loaded, the sender has not seen everything.
        next_region_id: what to show next, or None when the queue is empty.
        counts: how much is left.
        bbox: box x0, y0, x1, y1 around the pixels that may have changed; None when none did.
        regions: the regions that it is about, as they are now; several for a propagation.
        undone_op_id: for undo and redo, the action that was taken back or put in force again.
        replayed: this action had been stored before; nothing was changed now.
    """

    op_id: str
    kind: DecisionKind
    image_id: int
    region_id: int | None
    region_state: RegionState | None
    image_state: ImageState
    image_version: int
    foreign_version: int
    next_region_id: int | None
    counts: QueueCounts
    bbox: tuple[int, int, int, int] | None
    regions: tuple[RegionNow, ...]
    undone_op_id: str | None = None
    replayed: bool = False


@dataclass(frozen=True)
class ImagePlanes:
    """All maps of one image as it is now; every plane is (H, W).

    Attributes:
        image_id: the image.
        sample_id, image_name: its id that is safe everywhere, and what people call it.
        image_version: id of its last decision, 0 before the first.
        etag: changes whenever a plane changes (decision or new proposal).
        maps_etag: changes whenever a plane of the proposal does.
        proposal_id: the active proposal.
        size_wh: width and height in pixels.
        planes: what the model proposed, as people see it, without decisions.
        decided: what all decisions that count set, or None when there is none.
    """

    image_id: int
    sample_id: str
    image_name: str
    image_version: int
    etag: str
    maps_etag: str
    proposal_id: int
    size_wh: tuple[int, int]
    planes: ProposalPlanes
    decided: Delta | None

    @cached_property
    def state(self) -> LabelState:
        """Label and provenance with all decisions applied."""
        base = LabelState(self.planes.label, base_provenance(self.planes.reliable))
        return replay(base, [] if self.decided is None else [self.decided])

    @property
    def label(self) -> LabelArray:
        """uint8 class ids and IGNORE_INDEX, with all decisions applied."""
        return self.state.label

    @property
    def provenance(self) -> NDArray[np.uint8]:
        """uint8 `Provenance` codes."""
        return self.state.provenance

    @property
    def proposal(self) -> LabelArray:
        """uint8, the model's label without decisions; the eraser's source."""
        return self.planes.label

    @property
    def reliable(self) -> NDArray[np.bool_]:
        """bool, the locked pixels."""
        return self.planes.reliable

    @property
    def unreliability(self) -> NDArray[np.uint8]:
        """uint8, round(255 * (1 - score))."""
        return self.planes.unreliability

    @property
    def region_map(self) -> NDArray[np.uint16]:
        """uint16 region numbers and the codes of app/domain/regions.py."""
        return self.planes.region_map


@dataclass(frozen=True)
class ImagePatch:
    """The maps of one image that change as people work, inside `bbox`; planes are as in `ImagePlanes`."""

    image_id: int
    image_version: int
    proposal_id: int
    bbox: tuple[int, int, int, int]
    label: LabelArray
    reliable: NDArray[np.bool_]
    region_map: NDArray[np.uint16]
    provenance: NDArray[np.uint8]


@dataclass(frozen=True)
class ImageRow:
    """One imported image. `path` holds the imported bytes, which may carry an EXIF orientation."""

    image_id: int
    sample_id: str
    sha256: str
    path: Path
    size_wh: tuple[int, int]
    role: ImageRole
    state: ImageState
    image_version: int
