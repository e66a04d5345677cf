"""Settings of a workspace: one JSON value per key, checked when read, because people edit databases."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from app.domain.regions import RegionRules
from app.storage.errors import StoreError
from app.storage.models import Setting
from datasets.labels import ClassSet

CLASSES_KEY = "classes"
REVIEW_KEY = "review"


class ReviewSettings(BaseModel):
    """How regions are made and when an image is good enough.

    Attributes:
        region_rules: see app/domain/regions.py.
        enough_share: an image is enough when fewer than this share of its pixels are expected to be wrong and open.
        method: name of the selection method that calls pixels reliable, or None for the one in the model file.
        threshold: its threshold, where it has one; for the log.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    region_rules: RegionRules = Field(default_factory=RegionRules)
    enough_share: float = Field(default=0.001, ge=0, le=1)
    method: str | None = None
    threshold: float | None = None


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
    """Make `class_set` that of the workspace if it has none; refuse another list of names. Colours stay as they were.

    Raises:
        ClassSetChangedError: names or their order differ; the message shows the first difference.
    """
    present = read_class_set(session)
    if present is None:
        session.add(Setting(key=CLASSES_KEY, value=class_set.to_json()))
    else:
        check_same_classes(present, class_set, source)


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
    row = session.get(Setting, REVIEW_KEY)
    content: Any = {} if row is None else row.value
    try:
        return ReviewSettings.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"the workspace's setting 'review' has a wrong value at {where!r}: {first['msg']}") from error


def write_review_settings(session: Session, settings: ReviewSettings) -> None:
    """Replace the review settings."""
    session.merge(Setting(key=REVIEW_KEY, value=settings.model_dump(mode="json")))
