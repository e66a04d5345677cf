"""The HTTP API: one application over one workspace. The pages are mounted into it by server.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from app.config import Workspace
from app.services.local_actor import local_actor
from app.storage.database import open_store
from app.web import api_editing, api_gold, api_images, api_jobs, api_models, api_quality, api_review, api_work, errors
from app.web.context import Context, open_context
from app.web.gate import Gate
from app.web.rules import Rule, public, read, rules_of
from app.web.security import Guard

PARTS = api_review, api_editing, api_images, api_work, api_jobs, api_models, api_gold, api_quality
PREFIX = "/api"

health_router = APIRouter()


@health_router.get("/healthz")
def health(context: Context) -> dict[str, str]:
    """Whether the store answers; for everybody, so it tells nothing else."""
    context.review.counts()
    return {"status": "ok"}


def create_api(workspace: Workspace, queue_url: str | None = None) -> FastAPI:
    """The API behind its guard and its gate. The store is closed when the application ends.

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
    app.include_router(health_router)
    rules: list[Rule] = [public("/healthz", "GET"), read(r"/api/openapi\.json")]
    for part in PARTS:
        app.include_router(part.router, prefix=PREFIX)
        rules += rules_of(part.router, PREFIX)
    app.state.rules = rules  # server.py adds those of pages and static files.
    app.add_middleware(Gate, rules=rules, identify=lambda _headers: local_actor())
    app.add_middleware(Guard)
    return app
