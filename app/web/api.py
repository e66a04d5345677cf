"""The HTTP API: one application over one workspace. The pages are mounted into it by server.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from app.config import Workspace
from app.storage.database import open_store
from app.web import api_images, api_jobs, api_models, api_quality, api_review, errors
from app.web.context import Context, open_context
from app.web.security import Guard

router = APIRouter()
for part in (api_review, api_images, api_jobs, api_models, api_quality):
    router.include_router(part.router, prefix="/api")


@router.get("/healthz")
def health(context: Context) -> dict[str, Any]:
    """Whether the store answers."""
    return {"status": "ok", "open_regions": context.review.counts().open}


def create_api(workspace: Workspace, queue_url: str | None = None) -> FastAPI:
    """The API behind its guard. The store is closed when the application ends.

    Args:
        queue_url: see `app.services.queueing.open_queue`.

    Raises:
        StoreError: there is no workspace, or its store cannot be used.
    """
    store = open_store(workspace)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(title="Pixelsieve", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan)
    app.state.context = open_context(workspace, store, queue_url)
    errors.install(app)
    app.include_router(router)
    app.add_middleware(Guard)
    return app
