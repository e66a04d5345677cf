"""What the handlers share: the open store, the services over it, and who is asking."""

import getpass
import uuid
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.config import Workspace
from app.services.jobs import JobQueue
from app.services.reviewing import ReviewService
from app.storage.database import Store
from app.storage.models import Setting

_WORKSPACE_ID_KEY = "workspace_id"


@dataclass(frozen=True)
class WebContext:
    """One open workspace.

    Attributes:
        workspace_id: tells workspaces apart that are served under the same address one after the other; browsers keep
            unsent decisions under this name.
        user: whose decisions these are; without accounts, whoever runs the server.
    """

    workspace: Workspace
    store: Store
    review: ReviewService
    jobs: JobQueue
    workspace_id: str
    user: str


def open_context(workspace: Workspace, store: Store, queue_url: str | None) -> WebContext:
    """Services over an open store."""
    jobs = JobQueue(workspace, queue_url, store)
    return WebContext(workspace, store, ReviewService(store), jobs, _workspace_id(store), _user_name())


def get_context(request: Request) -> WebContext:
    """The workspace that this application serves."""
    context: WebContext = request.app.state.context
    return context


Context = Annotated[WebContext, Depends(get_context)]


def _workspace_id(store: Store) -> str:
    with store.session() as session:
        row = session.get(Setting, _WORKSPACE_ID_KEY)
        if row is None:
            row = Setting(key=_WORKSPACE_ID_KEY, value=uuid.uuid4().hex)
            session.add(row)
        return str(row.value)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user id without a name.
        return "local"
