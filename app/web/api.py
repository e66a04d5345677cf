"""The HTTP API: one application over one workspace. The pages are mounted into it by server.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from app.config import LOCAL, Reach, Workspace
from app.storage.database import open_store
from app.web import (
    api_editing,
    api_gold,
    api_images,
    api_jobs,
    api_leases,
    api_models,
    api_people,
    api_quality,
    api_review,
    api_suspects,
    api_threshold,
    api_upkeep,
    api_work,
    errors,
)
from app.web.context import Context, open_context
from app.web.form_routes import FORM_RULES
from app.web.form_routes import router as forms_router
from app.web.gate import Gate
from app.web.identity import Identifier, SessionCookie
from app.web.rules import Rule, public, read, rules_of
from app.web.security import Guard

PARTS = (
    api_review, api_editing, api_images, api_leases, api_work, api_jobs, api_models, api_gold, api_threshold,
    api_quality, api_suspects, api_people, api_upkeep,
)  # fmt: skip
PREFIX = "/api"

health_router = APIRouter()


@health_router.get("/healthz")
def health(context: Context) -> dict[str, str]:
    """Whether the store answers; for everybody, so it tells nothing else."""
    context.review.counts()
    return {"status": "ok"}


def create_api(workspace: Workspace, queue_url: str | None = None, reach: Reach = LOCAL) -> FastAPI:
    """The API behind its guard and its gate. The store is closed when the application ends.

    Args:
        queue_url: see `app.services.queueing.open_queue`.
        reach: from where people reach it.

    Raises:
        StoreError: there is no workspace, or its store cannot be used.
    """
    store = open_store(workspace)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(title="Pixelsieve", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan)
    context = open_context(workspace, store, queue_url)
    cookie = SessionCookie(context.workspace_id, reach)
    app.state.context, app.state.cookie = context, cookie
    errors.install(app)
    for router in (health_router, forms_router):
        app.include_router(router)
    rules: list[Rule] = [public("/healthz", "GET"), *FORM_RULES, read(r"/api/openapi\.json")]
    rules += rules_of(forms_router, "")
    for part in PARTS:
        app.include_router(part.router, prefix=PREFIX)
        rules += rules_of(part.router, PREFIX)
    app.state.rules = rules  # server.py adds those of pages and static files.
    identifier = Identifier(context.people, reach, cookie)
    app.state.identifier = identifier
    app.add_middleware(Gate, rules=rules, identify=identifier, reach=reach)
    app.add_middleware(Guard, reach=reach)
    return app
