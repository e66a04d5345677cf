"""The tables. Rows of `decision` are never changed or removed: the database itself refuses it (see migrations)."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    false,
    text,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from app.domain.states import (
    DecisionKind,
    ImageRole,
    ImageState,
    JobKind,
    JobState,
    ModelStatus,
    RegionKind,
    RegionState,
)


def utc_now() -> datetime:
    """The present moment with its time zone."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored as UTC. SQLite has no time zones, so a naive value is refused instead of guessed."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: naive UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a stored time needs a time zone, got {value!r}; use storage.models.utc_now()")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database: aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def word(words: type[StrEnum], name: str) -> Enum:
    """Column type of one of the vocabularies in app/domain/states.py, checked by the database."""
    return Enum(
        words, name=name, native_enum=False, create_constraint=True, length=16,
        values_callable=lambda enum: [member.value for member in enum],
    )  # fmt: skip


class Base(DeclarativeBase):
    """Declarative base with predictable constraint names, which migrations need."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


_NAME = String(255).with_variant(String(255, collation="C"), "postgresql")
"""Names sort by their code points in every database, whatever language it speaks."""


class Setting(Base):
    """One validated JSON value per key; see app/storage/settings.py."""

    __tablename__ = "setting"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)


def _sample_id(context: DefaultExecutionContext) -> str:
    """Of a new image, where nothing says how its file was called."""
    name: str = context.get_current_parameters()["sample_id"]  # type: ignore[no-untyped-call]
    return name


class Image(Base):
    """One imported image. Its bytes lie unchanged under `path`, its label's under `label_path`.

    `sample_id` is made of characters that are safe everywhere, `name` is what people are shown, and `file_name` is the
    imported file's, with its ending and with as many of its folders as the id holds.
    `label_sha256` is missing where an earlier version imported the label; gold then freezes it at the next look.
    `queue_weight` multiplies the scores of its regions.
    """

    __tablename__ = "image"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    sample_id: Mapped[str] = mapped_column(_NAME, unique=True)
    name: Mapped[str] = mapped_column(String(255), default=_sample_id, server_default="")
    file_name: Mapped[str] = mapped_column(Text, default=_sample_id, server_default="")
    path: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    role: Mapped[ImageRole] = mapped_column(word(ImageRole, "role"))
    label_path: Mapped[str | None]
    label_sha256: Mapped[str | None] = mapped_column(String(64))
    class_pixels: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    state: Mapped[ImageState] = mapped_column(word(ImageState, "state"), index=True)
    assignee: Mapped[str | None] = mapped_column(String(255), index=True)
    queue_weight: Mapped[float] = mapped_column(default=1.0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    purged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the upright image in pixels."""
        return self.height, self.width


class Model(Base):
    """The ONNX file of one round and how it did on the gold images."""

    __tablename__ = "model"

    id: Mapped[int] = mapped_column(primary_key=True)
    round: Mapped[int]
    onnx_path: Mapped[str]
    onnx_sha256: Mapped[str] = mapped_column(String(64))
    run_dir: Mapped[str | None]
    status: Mapped[ModelStatus] = mapped_column(word(ModelStatus, "status"))
    method: Mapped[str | None]
    gold: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    note: Mapped[str | None]

    __table_args__ = (
        Index(
            "ix_model_one_current", "status", unique=True,
            sqlite_where=text("status = 'current'"), postgresql_where=text("status = 'current'"),
        ),
    )  # fmt: skip


class Proposal(Base):
    """What one model says about one image: planes in `folder`, regions in their own table.

    `replaced_after` is the image's last decision when this stopped being the active proposal: while that is still the
    last one, it can be made active again. `threshold` is the largest probability of being wrong of its reliable pixels,
    None where the model file said what is reliable. `file_coverage` is the share of pixels that the file itself calls
    reliable, `mean_wrong` their mean probability of being wrong, `appearance` says how the picture looks
    (app/domain/shift.py); None for proposals from before these were kept.
    """

    __tablename__ = "proposal"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), index=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    folder: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    active: Mapped[bool]
    replaced_after: Mapped[int | None]
    threshold: Mapped[float | None]
    file_coverage: Mapped[float | None]
    mean_wrong: Mapped[float | None]
    appearance: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        Index(
            "ix_proposal_one_active", "image_id", unique=True,
            sqlite_where=text("active = 1"), postgresql_where=text("active"),
        ),
    )  # fmt: skip


class Region(Base):
    """One connected set of unreliable pixels that is decided with one key; `number` is its value in the region map.

    `origin_id` is set where somebody did not know about the same pixels of an earlier proposal, or flagged them: that
    region. `pixels` is set where somebody flagged a reliable area, which the region map of the proposal does not
    hold: a stored delta (app/domain/decisions.py) of the pixels with the label that they had. `propagated` says that
    the region was decided together with others after a preview, not looked at alone. `is_asked_regardless` says that it
    is asked also when its image is good enough.
    """

    __tablename__ = "region"

    id: Mapped[int] = mapped_column(primary_key=True)
    proposal_id: Mapped[int] = mapped_column(ForeignKey("proposal.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    number: Mapped[int]
    kind: Mapped[RegionKind] = mapped_column(word(RegionKind, "kind"))
    class_id: Mapped[int]
    area: Mapped[int]
    x0: Mapped[int]
    y0: Mapped[int]
    x1: Mapped[int]
    y1: Mapped[int]
    mean_confidence: Mapped[float]
    score: Mapped[float]
    top_classes: Mapped[list[Any]] = mapped_column(JSON)
    state: Mapped[RegionState] = mapped_column(word(RegionState, "state"))
    origin_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"))
    pixels: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    propagated: Mapped[bool] = mapped_column(default=False, server_default=false())
    is_asked_regardless: Mapped[bool] = mapped_column(default=False, server_default=false())

    __table_args__ = (
        Index("ix_region_queue", "state", "score"),
        Index("ix_region_kind", "kind", "state"),
        Index(
            "ix_region_propagated",
            "propagated",
            sqlite_where=text("propagated = 1"),
            postgresql_where=text("propagated"),
        ),
        # An image's regions in queue order; counting the queue reads this index and no row.
        Index("ix_region_image", "image_id", "state", "score", "kind", "is_asked_regardless"),
        Index("ix_region_number", "proposal_id", "number", unique=True),
    )

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1; x1 and y1 are exclusive."""
        return self.x0, self.y0, self.x1, self.y1


class Decision(Base):
    """One action of one person. Append-only; `op_id` is the client's, so that sending it twice stores it once."""

    __tablename__ = "decision"

    id: Mapped[int] = mapped_column(primary_key=True)
    op_id: Mapped[str] = mapped_column(String(64), unique=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"))
    kind: Mapped[DecisionKind] = mapped_column(word(DecisionKind, "kind"))
    closes_region: Mapped[bool]
    class_id: Mapped[int | None]
    undoes: Mapped[str | None] = mapped_column(String(64))
    delta: Mapped[bytes | None] = mapped_column(LargeBinary)
    user: Mapped[str] = mapped_column(String(255))
    session: Mapped[str] = mapped_column(String(255))
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    lock_override: Mapped[bool]
    stats: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (
        Index("ix_decision_image", "image_id", "id"),
        Index("ix_decision_user", "user", "id"),
        Index("ix_decision_region", "region_id", "id"),
        {"sqlite_autoincrement": True},
    )


class Comment(Base):
    """What a person said about an image or a region. Append-only; a question is closed by another comment."""

    __tablename__ = "comment"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"))
    author: Mapped[str] = mapped_column(String(255))
    text: Mapped[str] = mapped_column(String(2000))
    is_question: Mapped[bool]
    closes_id: Mapped[int | None] = mapped_column(ForeignKey("comment.id"), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (Index("ix_comment_image", "image_id", "id"), {"sqlite_autoincrement": True})


class Job(Base):
    """One piece of background work and its last sign of life."""

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[JobKind] = mapped_column(word(JobKind, "kind"))
    state: Mapped[JobState] = mapped_column(word(JobState, "state"), index=True)
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    progress_done: Mapped[int] = mapped_column(default=0)
    progress_total: Mapped[int] = mapped_column(default=1)
    message: Mapped[str] = mapped_column(default="")
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    log_path: Mapped[str | None]
    pid: Mapped[int | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
