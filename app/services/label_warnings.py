"""What is missing in the labels of a workspace, for whoever reads a promise."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.class_cover import class_warnings, gold_warning
from app.domain.states import ImageRole
from app.storage.database import Store
from app.storage.models import Image
from app.storage.settings import read_calibration_settings, require_class_set
from datasets.calibration_split import SplitRule, split_for_calibration
from datasets.frames import FrameRule


def missing_classes(session: Session) -> tuple[str, ...]:
    """Sentences about classes that no imported label or no gold image shows."""
    names = require_class_set(session).names
    return class_warnings(names, *(_pixels(session, role) for role in (ImageRole.LABELED, ImageRole.GOLD)))


def few_gold_images(store: Store, is_combined: bool = False) -> str | None:
    """That fewer gold images are there than the asked promise takes; None where they may suffice.

    Args:
        store: of the workspace.
        is_combined: a combined score is calibrated, which takes more of them.
    """
    with store.reader() as session:
        asked = read_calibration_settings(session)
        is_gold = (Image.role == ImageRole.GOLD) & Image.deleted_at.is_(None)
        gold = session.execute(select(Image.sample_id, Image.class_pixels).where(is_gold)).all()
    shown = [image.sample_id for image in gold if image.class_pixels is None or any(image.class_pixels)]
    if not shown:
        return (
            "There are no gold images, so nothing can be promised about reliable pixels. Hold out labels (import "
            "--gold-share)."
        )
    rule = SplitRule.usual(is_combined, FrameRule(asked.independent))
    return gold_warning(split_for_calibration(shown, rule), rule, asked.alpha)


def _pixels(session: Session, role: ImageRole) -> list[list[int]]:
    is_there = (Image.role == role) & Image.deleted_at.is_(None) & Image.class_pixels.is_not(None)
    return [pixels for pixels in session.scalars(select(Image.class_pixels).where(is_there)) if pixels is not None]
