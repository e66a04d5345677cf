"""Which threshold somebody chose for the proposals of a model, instead of what the model file calls reliable."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.storage.models import Base, UtcDateTime, utc_now


class ThresholdChoice(Base):
    """One choice. Rows are only ever added; the latest one of a model is in force.

    Attributes:
        threshold: largest probability of being wrong of a reliable pixel, 0-1; None goes back to what the model file
            calls reliable.
    """

    __tablename__ = "threshold_choice"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    threshold: Mapped[float | None]
    chosen_by: Mapped[str] = mapped_column(String(255))
    chosen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (Index("ix_threshold_choice_model", "model_id", "id"),)


def latest_choice(session: Session, model_id: int) -> ThresholdChoice | None:
    """The choice that is in force for a model; None when nobody ever chose one."""
    statement = select(ThresholdChoice).where(ThresholdChoice.model_id == model_id)
    return session.scalar(statement.order_by(ThresholdChoice.id.desc()).limit(1))


def threshold_in_force(session: Session, model_id: int) -> float | None:
    """At which threshold a model's proposals are cut; None is what the model file calls reliable."""
    choice = latest_choice(session, model_id)
    return None if choice is None else choice.threshold
