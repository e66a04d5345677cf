"""Gold images as pictures: what they show, what people labeled, what models predicted, and what changed."""

import hashlib
from collections.abc import Callable
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from app.domain.roles import Permission
from app.services.gold_views import GoldImageView
from app.web.api_images import cache_headers, is_known
from app.web.context import Context, requires
from app.web.gold_pictures import difference_picture, label_picture, plain_picture
from app.web.pictures import encode_png

router = APIRouter(prefix="/gold/{image_id}", dependencies=[requires(Permission.SEE_MODELS)])

Width = Annotated[int, Query(ge=16, le=4096, description="Of the answer, in pixels; small images are not enlarged.")]
ModelId = Annotated[int, Query(ge=1)]
_WIDTH = 480


@router.get("/picture")
def picture(context: Context, request: Request, image_id: int, width: Width = _WIDTH) -> Response:
    """The image, upright."""
    view = GoldImageView(context.store, image_id)
    return _answer(request, (view.version, width), lambda: plain_picture(view.picture(), width))


@router.get("/label")
def label(context: Context, request: Request, image_id: int, width: Width = _WIDTH) -> Response:
    """What people labeled, in class colors; void is cross-hatched."""
    view = GoldImageView(context.store, image_id)
    return _answer(
        request,
        (view.version, width),
        lambda: label_picture(view.picture(), view.label(), view.class_set, width),
    )


@router.get("/prediction")
def prediction(context: Context, request: Request, image_id: int, model: ModelId, width: Width = _WIDTH) -> Response:
    """What a model predicted when it was measured, in class colors."""
    view = GoldImageView(context.store, image_id)
    return _answer(
        request,
        (view.version, view.measurement(model), width),
        lambda: label_picture(view.picture(), view.prediction(model), view.class_set, width),
    )


@router.get("/difference")
def difference(
    context: Context, request: Request, image_id: int, old: ModelId, new: ModelId, width: Width = _WIDTH
) -> Response:
    """What became wrong, what became right and what stayed wrong from one model to another."""
    view = GoldImageView(context.store, image_id)
    return _answer(
        request,
        (view.version, view.measurement(old), view.measurement(new), width),
        lambda: difference_picture(view.picture(), view.label(), view.prediction(old), view.prediction(new), width),
    )


def _answer(request: Request, version: tuple[object, ...], draw: Callable[[], NDArray[np.uint8]]) -> Response:
    """A PNG that the browser keeps for as long as `version` stays the same."""
    etag = hashlib.sha256(repr((request.url.path, version)).encode()).hexdigest()[:32]
    if is_known(request, etag):
        return Response(status_code=304, headers=cache_headers(etag))
    return Response(encode_png(draw()), media_type="image/png", headers=cache_headers(etag))
