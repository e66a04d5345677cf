"""The tables behind audits, planted errors and control images: what was drawn, and by which chance.

A probe is a region that is shown for another reason than doubt. Its row of `region` holds what people see, which is
disguised; the truth stands here, and nothing that reaches a browser is made from it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary
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
        is_active: it is in its picture and in the queue; as many as are needed, in the order of drawing.
    """

    __tablename__ = "probe"

    region_id: Mapped[int] = mapped_column(ForeignKey("region.id"), primary_key=True, autoincrement=False)
    kind: Mapped[RegionKind] = mapped_column(word(RegionKind, "kind"))
    draw_order: Mapped[float]
    chance: Mapped[dict[str, Any]] = mapped_column(JSON)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    pixels: Mapped[bytes | None] = mapped_column(LargeBinary)
    is_active: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (Index("ix_probe_order", "kind", "draw_order"),)


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


class DecoyImage(Base):
    """A labeled image that people are asked about like one of the pool, with errors planted in it.

    What was planted, and by which chance, stands in its probes.
    """

    __tablename__ = "decoy_image"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
