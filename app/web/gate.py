"""Who may pass: every request is somebody's, every address asks for a permission, the rest is refused."""

from collections.abc import Callable, Sequence

from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.roles import Actor
from app.web.context import refuse_unless_permitted
from app.web.errors import ForbiddenError
from app.web.rules import Rule

Identify = Callable[[Headers], Actor]
"""Who sends a request with these headers; an actor without a role when nobody has signed in."""


class Gate:
    """ASGI layer around everything that answers, static files and Gradio's pages included."""

    def __init__(self, app: ASGIApp, rules: Sequence[Rule], identify: Identify) -> None:
        self._app = app
        self._rules = rules
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request with a sentence, or pass it on with its actor in `request.state.actor`."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # No page of ours uses web sockets.
            await send({"type": "websocket.close", "code": 1008})
            return
        actor = await run_in_threadpool(self._identify, Headers(scope=scope))
        scope.setdefault("state", {})["actor"] = actor
        refusal = refuse(self._rules, actor, scope["method"], scope["path"])
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)


def refuse(rules: Sequence[Rule], actor: Actor, method: str, path: str) -> Response | None:
    """The answer to a request that must not be served; None when it may."""
    matching = [rule for rule in rules if rule.pattern.fullmatch(path)]
    rule = next((each for each in matching if method in each.methods), None)
    if rule is not None and rule.permissions is None:
        return None
    if actor.role is None:
        return JSONResponse({"error": "sign in first: nobody has signed in from here, or not for a long time"}, 401)
    if rule is None:
        known = sorted({each for found in matching for each in found.methods})
        if known:
            sentence = f"{method} is not possible here, only {', '.join(known)}"
            return JSONResponse({"error": sentence}, 405, headers={"Allow": ", ".join(known)})
        return JSONResponse({"error": f"there is nothing at {path}"}, 404)
    try:
        for permission in sorted(rule.permissions or ()):
            refuse_unless_permitted(actor, permission)
    except ForbiddenError as error:
        return JSONResponse({"error": str(error)}, 403)
    return None
