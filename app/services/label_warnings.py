"""What is missing in the labels of a workspace, for whoever reads a promise."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.class_cover import class_warnings, gold_warning
from app.domain.states import ImageRole
from app.storage.database import Store
from app.storage.models import Image
from app.storage.settings import read_calibration_settings, require_class_set


def missing_classes(session: Session) -> tuple[str, ...]:
    """Sentences about classes that no imported label or no gold image shows."""
    names = require_class_set(session).names
    return class_warnings(names, *(_pixels(session, role) for role in (ImageRole.LABELED, ImageRole.GOLD)))


def few_gold_images(store: Store) -> str | None:
    """That fewer gold images are there than the asked promise takes; None where they may suffice."""
    with store.reader() as session:
        is_gold = (Image.role == ImageRole.GOLD) & Image.deleted_at.is_(None)
        gold = session.scalar(select(func.count()).select_from(Image).where(is_gold)) or 0
        return gold_warning(gold, read_calibration_settings(session).alpha)


def _pixels(session: Session, role: ImageRole) -> list[list[int]]:
    is_there = (Image.role == role) & Image.deleted_at.is_(None) & Image.class_pixels.is_not(None)
    return [pixels for pixels in session.scalars(select(Image.class_pixels).where(is_there)) if pixels is not None]
