"""The tables of labels that may be wrong: what the latest look for them found, and what people said about it."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.states import SuspectAnswer
from app.storage.models import Base, UtcDateTime, utc_now, word


class SuspectSearch(Base):
    """One look for wrong labels. Only the latest is kept; the next one takes its place.

    Attributes:
        model_id: whose doubt it is.
        min_area: smaller parts were left out, in pixels.
        num_images: images with labels of people that were looked at.
        num_parts: parts of at least `min_area` pixels in them.
        found_at: when it ended.
    """

    __tablename__ = "suspect_search"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    min_area: Mapped[int]
    num_images: Mapped[int]
    num_parts: Mapped[int]
    found_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class SuspectPart(Base):
    """One part of a label (app/domain/suspects.py) that the latest look found doubtful. Its id never comes again.

    Attributes:
        rank: 1 for the most suspicious one.
        label_version: of the image's label when it was looked at; while that is the same, so is the part.
        region_id: the region of a pool image that holds most of it; None where it was drawn outside of regions.
    """

    __tablename__ = "suspect_part"

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("suspect_search.id"))
    rank: Mapped[int]
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    class_id: Mapped[int]
    suggested: Mapped[int]
    x0: Mapped[int]
    y0: Mapped[int]
    x1: Mapped[int]
    y1: Mapped[int]
    area: Mapped[int]
    doubt: Mapped[float]
    score: Mapped[float]
    label_version: Mapped[str] = mapped_column(String(255))
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"))

    __table_args__ = (Index("ix_suspect_part_rank", "rank"), {"sqlite_autoincrement": True})

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1; x1 and y1 are exclusive."""
        return self.x0, self.y0, self.x1, self.y1


class PartAnswer(Base):
    """What somebody said about a part of a label. Rows are only added; the latest about the same part counts.

    It is about a class, a box and an area, not about one look: a part that is right is right in the next one, too.

    Attributes:
        region_id: the region that was made of it, where it was sent to review.
        label_before, label_after: the image's label files, where the imported label was changed.
    """

    __tablename__ = "part_answer"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    class_id: Mapped[int]
    x0: Mapped[int]
    y0: Mapped[int]
    x1: Mapped[int]
    y1: Mapped[int]
    area: Mapped[int]
    answer: Mapped[SuspectAnswer] = mapped_column(word(SuspectAnswer, "answer"))
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"))
    label_before: Mapped[str | None]
    label_after: Mapped[str | None]
    answered_by: Mapped[str] = mapped_column(String(255))
    answered_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (Index("ix_part_answer_image", "image_id", "id"),)
