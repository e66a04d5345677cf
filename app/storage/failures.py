"""The table of images that a model could not propose a label for."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.models import Base, UtcDateTime, utc_now


class FailedPrediction(Base):
    """The last attempt at an image, which failed. The row goes when an attempt succeeds.

    Attributes:
        image_id: the image.
        model_id: the model that was to propose.
        reason: why it could not, for people.
        file_mark: size and time of the image's file at that attempt; empty when there was none.
        failed_at: when.
    """

    __tablename__ = "failed_prediction"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    reason: Mapped[str] = mapped_column(Text)
    file_mark: Mapped[str] = mapped_column(String(64))
    failed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
