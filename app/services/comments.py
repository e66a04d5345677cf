"""What people say about images and regions. Comments are never changed; a question stays open until one closes it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.orm import Session, aliased

from app.domain.states import RegionState
from app.services.review_types import NotFoundError, ReviewError
from app.storage.database import Store
from app.storage.models import Comment, Image, Region

MAX_TEXT = 2000
"""Characters of a comment: a question about a region, not a document. Chosen by us."""

_Closing = aliased(Comment)


@dataclass(frozen=True)
class CommentView:
    """One comment as pages and API show it.

    Attributes:
        id: its place in the order of all comments.
        image_id: the image it is about.
        sample_id: that image's id.
        image_name: what people are shown.
        region_id: the region it is about, or None for the whole image.
        author: who wrote it.
        text: what it says, 1-2000 characters.
        is_question: the author wants an answer.
        is_open: it is a question that no later comment closes.
        closes_id: the question that this comment closes, if any.
        created_at: when, UTC.
    """

    id: int
    image_id: int
    sample_id: str
    image_name: str
    region_id: int | None
    author: str
    text: str
    is_question: bool
    is_open: bool
    closes_id: int | None
    created_at: datetime


def add_comment(
    store: Store,
    author: str,
    text: str,
    image_id: int,
    region_id: int | None = None,
    is_question: bool = False,
    closes_id: int | None = None,
) -> CommentView:
    """Store a comment, and with `closes_id` close a question about the same image.

    Raises:
        NotFoundError: no such image, or no such region or question in it.
        ReviewError: no text, too much of it, or a question that was closed before.
    """
    text = text.strip()
    if not 1 <= len(text) <= MAX_TEXT:
        raise ReviewError(f"a comment has 1-{MAX_TEXT} characters, got {len(text)}; nothing was saved")
    with store.session() as session:
        image = session.get(Image, image_id)
        if image is None or image.deleted_at is not None:
            raise NotFoundError(f"there is no image {image_id}")
        region = None if region_id is None else session.get(Region, region_id)
        is_unseen = region is None or region.state is RegionState.HELD
        if region_id is not None and (region is None or is_unseen or region.image_id != image_id):
            raise NotFoundError(f"there is no region {region_id} in image {image_id}")
        if closes_id is not None:
            _require_open_question(session, closes_id, image_id)
        comment = Comment(
            image_id=image_id, region_id=region_id, author=author, text=text, is_question=is_question,
            closes_id=closes_id,
        )  # fmt: skip
        session.add(comment)
        session.flush()
        return _view(comment, image, is_open=is_question)


def image_comments(store: Store, image_id: int) -> list[CommentView]:
    """All comments about an image, oldest first."""
    return _list(store, Comment.image_id == image_id)


def open_questions(store: Store) -> list[CommentView]:
    """Questions that wait for an answer, over all images that are not deleted, oldest first."""
    return _list(store, is_open_question())


def is_open_question() -> ColumnElement[bool]:
    """For a WHERE over `Comment`: a question that no comment closes."""
    return and_(Comment.is_question, ~exists().where(_Closing.closes_id == Comment.id))


def _list(store: Store, condition: ColumnElement[bool]) -> list[CommentView]:
    statement = (
        select(Comment, Image, is_open_question().label("is_open"))
        .join(Image, Image.id == Comment.image_id)
        .where(condition, Image.deleted_at.is_(None))
        .order_by(Comment.id)
    )
    with store.reader() as session:
        return [_view(comment, image, bool(is_open)) for comment, image, is_open in session.execute(statement)]


def _require_open_question(session: Session, comment_id: int, image_id: int) -> None:
    question = session.get(Comment, comment_id)
    if question is None or question.image_id != image_id or not question.is_question:
        raise NotFoundError(f"there is no question {comment_id} about image {image_id}")
    closing = session.scalar(select(Comment).where(Comment.closes_id == comment_id))
    if closing is not None:
        raise ReviewError(f"{closing.author} closed this question before; nothing was saved. Load its answers again.")


def _view(comment: Comment, image: Image, is_open: bool) -> CommentView:
    return CommentView(
        id=comment.id, image_id=comment.image_id, sample_id=image.sample_id,
        image_name=image.name, region_id=comment.region_id,
        author=comment.author, text=comment.text, is_question=comment.is_question, is_open=is_open,
        closes_id=comment.closes_id, created_at=comment.created_at,
    )  # fmt: skip
