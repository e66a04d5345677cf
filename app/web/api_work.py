"""Whose images are whose, and what people say about them."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.domain.roles import Permission, permits
from app.domain.states import ImageState
from app.services import assigning, comments
from app.services.assigning import ImageFilter
from app.web.bodies import AssignBody, CommentBody, ShareBody
from app.web.context import Context, CurrentActor, requires

router = APIRouter()

_REVIEW = [requires(Permission.REVIEW)]
_ASSIGN = [requires(Permission.ASSIGN)]


@router.get("/images", dependencies=_REVIEW)
def images(
    context: Context,
    actor: CurrentActor,
    state: ImageState | None = None,
    assignee: Annotated[str | None, Query(max_length=255)] = None,
    text: Annotated[str, Query(max_length=255)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """Images with what is left in them, most expected errors first; people who do not assign see their own."""
    person = None if permits(actor.role, Permission.ASSIGN) else actor.name
    rows = assigning.list_image_work(context.store, ImageFilter(state, assignee, text, person), limit, offset)
    return {"images": [asdict(row) for row in rows]}


@router.post("/assignments", dependencies=_ASSIGN)
def assign(context: Context, actor: CurrentActor, body: AssignBody) -> dict[str, int]:
    """Give images to a person, or back to everybody; how many changed hands."""
    return {"changed": assigning.assign_images(context.store, actor, body.image_ids, body.assignee)}


@router.post("/assignments/share", dependencies=_ASSIGN)
def share(context: Context, actor: CurrentActor, body: ShareBody) -> dict[str, dict[str, int]]:
    """Share images out so that everybody has about the same expected work; how many each person got."""
    return {"shared": assigning.share_images(context.store, actor, body.people, body.image_ids)}


@router.get("/images/{image_id}/comments", dependencies=_REVIEW)
def image_comments(context: Context, image_id: int) -> dict[str, Any]:
    """What people said about an image and its regions, oldest first."""
    return {"comments": [asdict(each) for each in comments.image_comments(context.store, image_id)]}


@router.post("/images/{image_id}/comments", status_code=201, dependencies=_REVIEW)
def comment(context: Context, actor: CurrentActor, image_id: int, body: CommentBody) -> dict[str, Any]:
    """Say something about an image or a region, ask, or close a question."""
    return asdict(
        comments.add_comment(
            context.store, actor.name, body.text, image_id, body.region_id, body.is_question, body.closes_id
        )
    )


@router.get("/questions", dependencies=_REVIEW)
def questions(context: Context) -> dict[str, Any]:
    """Questions that wait for an answer, oldest first."""
    return {"questions": [asdict(each) for each in comments.open_questions(context.store)]}
