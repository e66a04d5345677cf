"""The tables behind audits, planted errors and control images: what was drawn, by which chance, and who was given it.

A probe is a region that is shown for another reason than doubt. Its row of `region` holds what people see, which is
disguised; the truth stands here, and nothing that reaches a browser is made from it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.states import RegionKind
from app.storage.models import Base, UtcDateTime, utc_now, word


class Probe(Base):
    """The other half of a region of kind audit, planted or control.

    Attributes:
        region_id: the region.
        kind: as the region's.
        draw_order: its place among the probes of its kind, drawn by chance, 0-1; people are given them in this order.
        chance: how it was drawn: rule, seed and what else it takes to draw it again.
        facts: what the model really said and, for a planted error, what is right.
        pixels: an audit's pixels as a stored delta (app/domain/decisions.py) with the label that they had; the region
            map of the proposal does not hold them.
        is_active: people see it in its picture; needed ones are activated in the order of drawing.
        person: to whom the queue gave it, None before.
        place: in that person's sequence (app/domain/mixing.py).
        is_filtered: it was given in a queue that the person had filtered, so by more than chance.
    """

    __tablename__ = "probe"

    region_id: Mapped[int] = mapped_column(ForeignKey("region.id"), primary_key=True, autoincrement=False)
    kind: Mapped[RegionKind] = mapped_column(word(RegionKind, "kind"))
    draw_order: Mapped[float]
    chance: Mapped[dict[str, Any]] = mapped_column(JSON)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    pixels: Mapped[bytes | None] = mapped_column(LargeBinary)
    is_active: Mapped[bool] = mapped_column(default=False)
    person: Mapped[str | None] = mapped_column(String(255))
    place: Mapped[int | None]
    is_filtered: Mapped[bool] = mapped_column(default=False)
    given_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_probe_person", "person", "place", unique=True),
        Index("ix_probe_order", "kind", "draw_order"),
    )


class ControlImage(Base):
    """A pool image that people label from scratch, without ever seeing a proposal.

    Attributes:
        image_id: the image.
        seed: of the choice.
        share: of the pool that was to be chosen.
        pool_size: pool images when it was chosen.
        chosen_at: when.
    """

    __tablename__ = "control_image"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    seed: Mapped[int] = mapped_column(BigInteger)
    share: Mapped[float]
    pool_size: Mapped[int]
    chosen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
