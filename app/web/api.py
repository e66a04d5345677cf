"""The HTTP API as one router; the files beside this one hold its parts."""

from typing import Any

from fastapi import APIRouter

from app.web import api_images, api_jobs, api_models, api_review
from app.web.context import Context

router = APIRouter()
for part in (api_review, api_images, api_jobs, api_models):
    router.include_router(part.router, prefix="/api")


@router.get("/healthz")
def health(context: Context) -> dict[str, Any]:
    """Whether the store answers."""
    return {"status": "ok", "open_regions": context.review.counts().open}
