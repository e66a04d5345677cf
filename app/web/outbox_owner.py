"""Whose unsent decisions arrive: a browser's queue of one person and workspace is never stored as another's.

A tab that was left open keeps sending after somebody else has signed in beside it, or after another workspace is served
under the same address. So it says whose decisions it sends. Programs that are no browser may leave that out.
"""

from urllib.parse import unquote

from fastapi import Depends, Request

from app.web.context import Context, CurrentActor
from app.web.errors import OtherPersonError, OtherWorkspaceError

WORKSPACE_HEADER = "X-Pixelsieve-Workspace"
USER_HEADER = "X-Pixelsieve-User"
"""Percent-encoded UTF-8, because headers hold Latin-1."""


def refuse_foreign_decisions(request: Request, context: Context, actor: CurrentActor) -> None:
    """For the `dependencies` of endpoints that store decisions.

    Raises:
        OtherWorkspaceError, OtherPersonError: the sender keeps the decision and sends it again later.
    """
    workspace_id = request.headers.get(WORKSPACE_HEADER, context.workspace_id)
    if workspace_id != context.workspace_id:
        raise OtherWorkspaceError(
            "another workspace is served at this address now, so nothing was saved. Start the one in which this was "
            "decided again; the decision is then sent by itself."
        )
    user = unquote(request.headers.get(USER_HEADER, actor.name))
    if user != actor.name:
        raise OtherPersonError(
            f"this was decided by {user}, but {actor.name} is signed in now, so nothing was saved. Sign in as {user} "
            "again; the decision is then sent by itself."
        )


OwnDecisions = Depends(refuse_foreign_decisions)
