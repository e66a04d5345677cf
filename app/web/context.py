"""What the handlers share: the open store, the services over it, and who is asking."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as DependsParameter

from app.config import Workspace
from app.domain.roles import IN_WORDS, Actor, Permission, permits
from app.services.jobs import JobQueue
from app.services.kept_actions import KeptActions
from app.services.leases import LeaseService
from app.services.lookalikes import LookalikeService
from app.services.people import People, open_people
from app.services.reviewing import ReviewService
from app.services.superpixels import SuperpixelService
from app.storage.database import Store
from app.web.errors import ForbiddenError


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
    superpixels: SuperpixelService
    lookalikes: LookalikeService
    jobs: JobQueue
    people: People
    leases: LeaseService
    kept_actions: KeptActions
    workspace_id: str


def open_context(workspace: Workspace, store: Store, queue_url: str | None) -> WebContext:
    """Services over an open store."""
    jobs = JobQueue(workspace, queue_url, store)
    return WebContext(
        workspace,
        store,
        ReviewService(store),
        SuperpixelService(store),
        LookalikeService(store),
        jobs,
        open_people(store),
        LeaseService(store),
        KeptActions(store),
        store.workspace_id,
    )


def get_context(request: Request) -> WebContext:
    """The workspace that this application serves."""
    context: WebContext = request.app.state.context
    return context


Context = Annotated[WebContext, Depends(get_context)]


def get_actor(request: Request) -> Actor:
    """Whom the gate (see gate.py) let in. Without a gate in front of it, no endpoint answers."""
    actor: Actor = request.state.actor
    return actor


CurrentActor = Annotated[Actor, Depends(get_actor)]


class Requirement:
    """A dependency that refuses people whose role does not have a permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, actor: CurrentActor) -> None:
        """Check one request.

        Raises:
            ForbiddenError: says as whom the person is known, and whom to ask.
        """
        refuse_unless_permitted(actor, self.permission)


def requires(permission: Permission) -> DependsParameter:
    """For the `dependencies` of an endpoint. The gate serves no endpoint that does not have one."""
    return DependsParameter(Requirement(permission))


def refuse_unless_permitted(actor: Actor, permission: Permission) -> None:
    """Refuse people whose role does not have a permission.

    Raises:
        ForbiddenError: says as whom the person is known, and whom to ask.
    """
    if not permits(actor.role, permission):
        raise ForbiddenError(
            f"{actor.name} is {actor.role} here and may not {IN_WORDS[permission]}; nothing was changed. Ask a lead."
        )
