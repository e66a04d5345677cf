"""Settings of a workspace: one JSON value per key, checked when read, because people edit databases."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from app.domain.promotion import PromotionLimits
from app.domain.queue import QueueRules
from app.domain.regions import RegionRules
from app.storage.errors import StoreError
from app.storage.models import Setting
from datasets.labels import ClassSet, are_default_colors

CLASSES_KEY = "classes"
REVIEW_KEY = "review"
PROMOTION_KEY = "promotion"
CALIBRATION_KEY = "calibration"
WORKSPACE_ID_KEY = "workspace_id"


class ReviewSettings(BaseModel):
    """How regions are made and when an image is good enough.

    Attributes:
        region_rules: see app/domain/regions.py.
        queue_rules: see app/domain/queue.py.
        enough_share: an image is enough when fewer than this share of its pixels are expected to be wrong and open.
        method: name of the selection method that calls pixels reliable, or None for the one in the model file.
        threshold: its threshold, where it has one; for the log, where the proposal was not cut at a chosen one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    region_rules: RegionRules = Field(default_factory=RegionRules)
    queue_rules: QueueRules = Field(default_factory=QueueRules)
    enough_share: float = Field(default=0.001, ge=0, le=1)
    method: str | None = None
    threshold: float | None = None


class PromotionSettings(BaseModel):
    """See app/domain/promotion.py; fractions of IoU."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    miou_fall: float = Field(default=PromotionLimits.miou_fall, ge=0, le=1)
    class_fall: float = Field(default=PromotionLimits.class_fall, ge=0, le=1)


class CalibrationSettings(BaseModel):
    """What the calibration of the next model is asked to promise.

    Attributes:
        alpha: largest expected share of wrong pixels among an image's reliable ones; docs/calibration.md.
        independent: the pictures do not come from videos, so each gold image counts by itself. Otherwise names that end
            in digits name frames of a recording, and frames count in blocks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(default=0.01, gt=0, lt=1)
    independent: bool = False


class ClassSetChangedError(StoreError):
    """The classes on offer are not those of the workspace."""


def read_class_set(session: Session) -> ClassSet | None:
    """The classes of the workspace, or None before the first import."""
    row = session.get(Setting, CLASSES_KEY)
    return None if row is None else ClassSet.from_json(row.value, "the workspace's setting 'classes'")


def require_class_set(session: Session) -> ClassSet:
    """The classes of the workspace.

    Raises:
        StoreError: nothing was imported yet.
    """
    class_set = read_class_set(session)
    if class_set is None:
        raise StoreError("this workspace has no classes yet; import a data set first: pixelsieve import")
    return class_set


def adopt_class_set(session: Session, class_set: ClassSet, source: str) -> None:
    """Make `class_set` that of the workspace if it has none; refuse another list of names.

    Colors that somebody chose win over those that are given by default, and later ones over earlier ones.

    Raises:
        ClassSetChangedError: names or their order differ; the message shows the first difference.
    """
    present = read_class_set(session)
    if present is None:
        session.add(Setting(key=CLASSES_KEY, value=class_set.to_json()))
        return
    check_same_classes(present, class_set, source)
    if not are_default_colors(class_set.colors):
        present = class_set
    elif are_default_colors(present.colors):
        present = ClassSet.from_names(present.names)
    session.get_one(Setting, CLASSES_KEY).value = present.to_json()


def check_same_classes(present: ClassSet, offered: ClassSet, source: str) -> None:
    """Refuse a class list that differs in names or order from that of the workspace.

    Raises:
        ClassSetChangedError: the message shows the first difference.
    """
    if present.names == offered.names:
        return
    pairs = enumerate(zip(present.names, offered.names, strict=False))
    difference = next(
        (f"class {index} is {ours!r} here and {theirs!r} there" for index, (ours, theirs) in pairs if ours != theirs),
        f"here are {len(present)} classes, there {len(offered)}",
    )
    raise ClassSetChangedError(
        f"{source} has another class list than this workspace: {difference}. The ids in stored labels and decisions "
        "would change their meaning, so nothing was changed. Use the same list, or start a new workspace."
    )


def read_review_settings(session: Session) -> ReviewSettings:
    """Review settings, with defaults for what was never set.

    Raises:
        StoreError: the stored value is not valid; the message names the field.
    """
    return read_setting(session, REVIEW_KEY, ReviewSettings)


def write_review_settings(session: Session, settings: ReviewSettings) -> None:
    """Replace the review settings."""
    session.merge(Setting(key=REVIEW_KEY, value=settings.model_dump(mode="json")))


def read_promotion_limits(session: Session) -> PromotionLimits:
    """How far gold may fall before promoting takes a reason, with defaults for what was never set.

    Raises:
        StoreError: the stored value is not valid; the message names the field.
    """
    found = read_setting(session, PROMOTION_KEY, PromotionSettings)
    return PromotionLimits(found.miou_fall, found.class_fall)


def write_promotion_limits(session: Session, limits: PromotionLimits) -> None:
    """Replace the limits of promotion."""
    settings = PromotionSettings(miou_fall=limits.miou_fall, class_fall=limits.class_fall)
    session.merge(Setting(key=PROMOTION_KEY, value=settings.model_dump()))


def read_calibration_settings(session: Session) -> CalibrationSettings:
    """What is asked of the next calibration, with defaults for what was never set.

    Raises:
        StoreError: the stored value is not valid; the message names the field.
    """
    return read_setting(session, CALIBRATION_KEY, CalibrationSettings)


def write_calibration_settings(session: Session, settings: CalibrationSettings) -> None:
    """Replace what is asked of the next calibration."""
    session.merge(Setting(key=CALIBRATION_KEY, value=settings.model_dump()))


_Settings = TypeVar("_Settings", bound=BaseModel)


def read_setting(session: Session, key: str, model: type[_Settings]) -> _Settings:
    """A setting, checked, with defaults for what was never set.

    Raises:
        StoreError: the stored value is not valid; the message names the field.
    """
    row = session.get(Setting, key)
    try:
        return model.model_validate({} if row is None else row.value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"the workspace's setting '{key}' has a wrong value at {where!r}: {first['msg']}") from error
