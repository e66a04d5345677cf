"""What the handlers share: the open store, the services over it, and who is asking."""

import uuid
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as DependsParameter

from app.config import Workspace
from app.domain.roles import Actor, Permission, permits
from app.services.jobs import JobQueue
from app.services.local_actor import local_actor
from app.services.reviewing import ReviewService
from app.storage.database import Store
from app.storage.models import Setting
from app.web.errors import ForbiddenError

_WORKSPACE_ID_KEY = "workspace_id"


@dataclass(frozen=True)
class WebContext:
    """One open workspace.

    Attributes:
        workspace_id: tells workspaces apart that are served under the same address one after the other; browsers keep
            unsent decisions under this name.
    """

    workspace: Workspace
    store: Store
    review: ReviewService
    jobs: JobQueue
    workspace_id: str


def open_context(workspace: Workspace, store: Store, queue_url: str | None) -> WebContext:
    """Services over an open store."""
    jobs = JobQueue(workspace, queue_url, store)
    return WebContext(workspace, store, ReviewService(store), jobs, _workspace_id(store))


def get_context(request: Request) -> WebContext:
    """The workspace that this application serves."""
    context: WebContext = request.app.state.context
    return context


Context = Annotated[WebContext, Depends(get_context)]


def get_actor() -> Actor:
    """Without accounts whoever reaches the server is the person who runs it, and may do everything."""
    return local_actor()


CurrentActor = Annotated[Actor, Depends(get_actor)]


def requires(permission: Permission) -> DependsParameter:
    """For the `dependencies` of an endpoint: refuses people whose role does not have the permission."""

    def check(actor: CurrentActor) -> None:
        if not permits(actor.role, permission):
            raise ForbiddenError(
                f"{actor.name} is {actor.role} here, which does not allow '{permission.value}'; "
                "nothing was changed. Ask a lead."
            )

    return DependsParameter(check)


def _workspace_id(store: Store) -> str:
    with store.session() as session:
        row = session.get(Setting, _WORKSPACE_ID_KEY)
        if row is None:
            row = Setting(key=_WORKSPACE_ID_KEY, value=uuid.uuid4().hex)
            session.add(row)
        return str(row.value)
