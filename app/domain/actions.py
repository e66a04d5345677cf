"""One action of one person as reports and exports see it: what was shown, what was done, and what it cost."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from app.domain.states import DecisionKind, RegionKind


@dataclass(frozen=True, slots=True)  # A report holds hundreds of thousands.
class Action:
    """A row of the action log. The order of the attributes is the order of the columns of every export.

    Attributes:
        id: its place in the order of all actions, from 1.
        op_id: the client's own id of it.
        time: when it was stored, UTC.
        user: who.
        session: from which browser tab or program.
        image_sha256: hash of the image's bytes.
        sample_id: the image's name.
        region_id: the region it was about; None for strokes outside of one and for whole images.
        region_kind: why that region was shown; None without a region.
        model_id: whose proposal was shown.
        model_round: the training round of that model.
        method: what called pixels reliable.
        threshold: its threshold, where it has one.
        area: pixels of the region.
        mean_reliability: mean largest probability over the region as the model gave it, 0-1.
        predicted_class: the class of the region as the model gave it.
        top_classes: (class id, mean probability) of the likeliest classes, likeliest first.
        action: what the person did.
        undoes: for an undo, the op_id of the action that it takes back.
        closes_region: whether it finished the region.
        class_id: the new class of a relabel or propagation.
        pixels_set: pixels that it gave a label, changed or not.
        pixels_changed: those of them that got another class than they had.
        propagated_pixels: those of them that were set in other regions by propagation.
        propagated_regions: how many other regions that were.
        clicks: pointer presses since the person's last action on the region.
        keys: key presses that meant something.
        strokes: strokes drawn.
        undos: strokes or actions taken back.
        active_ms: milliseconds of work since the region was shown or the last action on it; a pause counts with at
            most 15 s.
        lock_override: the person had unlocked reliable pixels.
        audited_pixels: pixels that have a class and tell how right the model is where nobody looks: the drawn pixel of
            an audit that it decided (rarely several), all reliable pixels of a control image that it finished.
        wrong_pixels: those of them that the model had wrong.
        draw_order: place of a probe among those of its kind, drawn by chance, 0-1; None for other regions, and for
            audits of images that came with a label.
        draw_batch: with which filling of the queue an audit joined it; orders compare within one only. None: the first,
            or none.
        was_given: the person's queue had come to the probe; False where a person chose it, by a click or a filter.
        caught: for a planted error that it decided, whether it was found; None for other regions.
        is_undone: taken back later, and not put in force again; counts in no report.
    """

    id: int
    op_id: str
    time: datetime
    user: str
    session: str
    image_sha256: str
    sample_id: str
    region_id: int | None
    region_kind: RegionKind | None
    model_id: int
    model_round: int
    method: str | None
    threshold: float | None
    area: int | None
    mean_reliability: float | None
    predicted_class: int | None
    top_classes: tuple[tuple[int, float], ...]
    action: DecisionKind
    undoes: str | None
    closes_region: bool
    class_id: int | None
    pixels_set: int
    pixels_changed: int
    propagated_pixels: int
    propagated_regions: int
    clicks: int
    keys: int
    strokes: int
    undos: int
    active_ms: int
    lock_override: bool
    audited_pixels: int
    wrong_pixels: int
    draw_order: float | None
    draw_batch: int | None
    was_given: bool
    caught: bool | None
    is_undone: bool

    def to_json(self) -> dict[str, Any]:
        """By column, the time in ISO 8601."""
        values = {name: getattr(self, name) for name in ACTION_COLUMNS}
        return {**values, "time": self.time.isoformat(), "top_classes": [list(entry) for entry in self.top_classes]}


ACTION_COLUMNS = tuple(field.name for field in fields(Action))
"""Columns of the exports, in their order. New ones are added at the end only, so that scripts keep working."""
