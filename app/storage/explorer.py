"""The table of tags that were set in the explorer, FiftyOne, and took effect here."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.models import Base, UtcDateTime, utc_now


class AppliedTag(Base):
    """One tag of one image that is in force. The row goes when the tag is taken off; the audit log keeps both."""

    __tablename__ = "applied_tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    tag: Mapped[str] = mapped_column(String(300))
    applied_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (Index("ix_applied_tag_image", "image_id", "tag", unique=True),)
