"""Who may pass: every request is somebody's, every address asks for a permission, the rest is refused."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import Reach
from app.domain.roles import Actor
from app.services.people_types import Origin, SignInRefusedError, TooManyAttemptsError
from app.storage.errors import StoreError
from app.web.context import refuse_unless_permitted
from app.web.errors import ForbiddenError, answer_to
from app.web.forms import refusal_page
from app.web.identity import NOBODY, Identity, address_of
from app.web.rules import Rule
from app.web.security import READING_METHODS
from app.web.write_limit import WriteLimit

Identify = Callable[[Headers, Origin, bool], Identity]
"""See `app.web.identity.Identifier`."""

SIGN_IN_PAGE = "/login"
_WAITS_BY_ITSELF = ("/gradio_api/", "/api/leases/", "/static/", "/assets/", "/svelte/", "/config", "/theme.css")
"""What pages ask for without anybody doing anything: it keeps no session alive."""


class Gate:
    """ASGI layer around everything that answers, static files and Gradio's pages included."""

    def __init__(self, app: ASGIApp, rules: Sequence[Rule], identify: Identify, reach: Reach) -> None:
        self._app = app
        self._rules = rules
        self._identify = identify
        self._reach = reach
        self._writes = WriteLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request with a sentence, or pass it on with `request.state.actor`, `.identity` and `.origin`."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # No page of ours uses web sockets.
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = await self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        client: Any = scope.get("client") or ("",)
        origin = Origin(address_of(client[0], headers, self._reach), headers.get("user-agent", ""))
        is_activity = not scope["path"].startswith(_WAITS_BY_ITSELF)
        try:
            identity = await run_in_threadpool(self._identify, headers, origin, is_activity)
        except (SignInRefusedError, TooManyAttemptsError, StoreError) as error:
            if not is_public(self._rules, scope["method"], scope["path"]):
                return answer_to(error)
            identity = Identity(NOBODY)
        scope.setdefault("state", {}).update(actor=identity.actor, identity=identity, origin=origin)
        refusal = refuse(self._rules, identity.actor, scope["method"], scope["path"])
        if refusal is not None:
            return _as_page(refusal, scope) if _is_for_a_person(scope, headers) else refusal
        return self._too_many_writes(scope["method"], identity)

    def _too_many_writes(self, method: str, identity: Identity) -> Response | None:
        is_signed_in = identity.is_token or identity.sign_in_id is not None
        wait_s = 0 if method in READING_METHODS or not is_signed_in else self._writes.wait_s(identity.actor.name)
        return answer_to(TooManyAttemptsError(wait_s)) if wait_s else None


def refuse(rules: Sequence[Rule], actor: Actor, method: str, path: str) -> Response | None:
    """The answer to a request that must not be served; None when it may."""
    if is_public(rules, method, path):
        return None
    if actor.role is None:
        sentence = "sign in first: nobody has signed in from here, or the session has ended"
        return JSONResponse({"error": sentence}, 401, headers={"WWW-Authenticate": "Bearer"})
    matching = [rule for rule in rules if rule.pattern.fullmatch(path)]
    rule = next((each for each in matching if method in each.methods), None)
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


def is_public(rules: Sequence[Rule], method: str, path: str) -> bool:
    """Whether everybody may send this."""
    return any(rule.permissions is None and method in rule.methods and rule.pattern.fullmatch(path) for rule in rules)


def _is_for_a_person(scope: Scope, headers: Headers) -> bool:
    """Whether a browser shows the answer as a page; the API answers in JSON, whoever asks."""
    is_page = scope["method"] in READING_METHODS and not scope["path"].startswith("/api/")
    return is_page and "text/html" in headers.get("accept", "")


def _as_page(refusal: Response, scope: Scope) -> Response:
    """For a person in front of a browser: where to sign in, or a page that says what is wrong."""
    if refusal.status_code == 401:
        query = scope.get("query_string", b"").decode("latin-1")
        asked = scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"{SIGN_IN_PAGE}?{urlencode({'next': asked})}", 303)
    return refusal_page(refusal, scope["state"]["actor"])
