"""Every address asks for a permission; what declares none is refused, whatever would answer."""

import asyncio
import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from app.config import LOCAL
from app.domain.roles import Actor, Permission, Role
from app.web.gate import Gate, refuse
from app.web.identity import Identity
from app.web.pages_listeners import allowed, guard_listeners
from app.web.rules import Rule, public, read, rules_of
from app.web.server import create_app
from app.web.static_files import static_address
from tests.browser.workspace import build_workspace

ANN, NOBODY = Actor("ann", Role.ANNOTATOR), Actor("nobody", None)

REFUSED_OF_GRADIO = {
    "/openapi.json", "/monitoring", "/monitoring/summary", "/monitoring/{key}",
    "/gradio_api/deep_link", "/gradio_api/user", "/gradio_api/login_check", "/gradio_api/token",
    "/gradio_api/dev/reload", "/gradio_api/runs", "/gradio_api/openapi.json", "/gradio_api/proxy={url_path:path}",
    "/gradio_api/custom_component/{id}/{environment}/{type}/{file_name}", "/gradio_api/file={path_or_url:path}",
    "/gradio_api/file/{path:path}", "/gradio_api/stream/{event_id}", "/gradio_api/stream/{event_id}/close",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file", "/gradio_api/api/{api_name}",
    "/gradio_api/call/{api_name}", "/gradio_api/call/v2/{api_name}", "/gradio_api/call/{api_name}/{event_id}",
    "/gradio_api/call/v2/{api_name}/{event_id}", "/gradio_api/component_server", "/gradio_api/queue/status",
    "/gradio_api/upload_progress", "/gradio_api/upload", "/gradio_api/process_recording", "/gradio_api/vibe-edit",
    "/gradio_api/undo-vibe-edit", "/gradio_api/vibe-code", "/gradio_api/vibe-starter-queries",
}  # fmt: skip
"""What Gradio offers and we do not serve. A new release's new address fails the test below: decide about it, then add
it here or to the rules."""

SHADOWED_OF_GRADIO = {"/login", "/logout"}
"""Gradio has routes of these names, too; ours come first, and other methods are refused."""

FILLED_IN = {"page": "1", "path": "theme.css", "size": "192", "session_hash": "abc", "api_name": "predict"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create_app(build_workspace(tmp_path_factory.mktemp("gate"), pool=1))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False) as made:
        yield made


def always(actor: Actor) -> Callable[..., Identity]:
    """Everybody is this person."""
    return lambda *_arguments: Identity(actor)


def every_route(routes: list[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path pattern of all routes, those of included routers and mounted applications too."""
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from every_route(route.effective_candidates(), prefix)
        elif getattr(route, "methods", None):
            yield from ((method, prefix + route.path) for method in route.methods)
        elif getattr(route, "routes", None):
            yield from every_route(route.routes, prefix + route.path)
        else:
            yield "GET", f"{prefix}{route.path}/reviewer.js"


def filled_in(path: str) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda match: FILLED_IN.get(match[1], "1"), path)


def test_every_route_has_a_rule_or_is_refused_on_purpose(app: FastAPI) -> None:
    found = set(every_route(app.routes))
    assert len(found) > 100
    without = {
        path.rstrip("/")
        for method, path in found
        if not any(rule.pattern.fullmatch(filled_in(path)) and method in rule.methods for rule in app.state.rules)
    }
    assert without == REFUSED_OF_GRADIO | SHADOWED_OF_GRADIO


def test_signing_in_is_ours_and_not_gradios(client: TestClient) -> None:
    assert client.head("/login").status_code == 405
    assert client.get("/logout").status_code == 405


@pytest.mark.parametrize("path", sorted(REFUSED_OF_GRADIO))
def test_what_gradio_offers_beyond_our_pages_is_refused_to_a_lead(app: FastAPI, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        refusal = refuse(app.state.rules, Actor("ann", Role.LEAD), method, filled_in(path))
        assert refusal is not None and refusal.status_code in (404, 405)


@pytest.mark.parametrize(
    "path", ["/", "/queue", "/review", "/export", "/config", "/theme.css", "/static/now/panels/dom.js"]
)
def test_pages_and_what_they_are_made_of_are_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_browsers_keep_what_pages_are_made_of_and_ask_for_it_again_only_when_it_changed(client: TestClient) -> None:
    page = client.get("/review").text
    addresses = set(re.findall(r"/(?:assets|static)/[\w./-]+\.(?:js|css)", page))
    assert static_address("panels/theme.js") in addresses and any(each.startswith("/assets/") for each in addresses)
    kept = {client.get(address).headers.get("cache-control") for address in addresses if "iframe" not in address}
    assert kept == {"private, max-age=31536000, immutable"}


def test_a_page_that_is_older_than_the_server_gets_present_scripts_and_does_not_keep_them(client: TestClient) -> None:
    old, now = client.get("/static/0123456789ab/panels/dom.js"), client.get(static_address("panels/dom.js"))
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache") and old.content == now.content
    assert client.get(static_address("panels/nothing.js")).status_code == 404


def test_an_endpoint_that_declares_nothing_is_not_served() -> None:
    router = APIRouter()

    @router.get("/secrets")
    def secrets() -> str:
        return "told"

    rules = rules_of(router, "/api")
    assert rules == []
    app = FastAPI()
    app.include_router(router, prefix="/api")
    app.add_middleware(Gate, rules=rules, identify=always(Actor("ann", Role.LEAD)), reach=LOCAL)
    with TestClient(app) as client:
        answer = client.get("/api/secrets")
    assert (answer.status_code, answer.json()) == (404, {"error": "there is nothing at /api/secrets"})


@pytest.mark.parametrize(
    ("actor", "method", "path", "status"),
    [
        pytest.param(ANN, "GET", "/queue", None, id="what the role allows"),
        pytest.param(ANN, "HEAD", "/queue", None, id="asking for headers is reading"),
        pytest.param(ANN, "GET", "/export", 403, id="what the role does not allow"),
        pytest.param(ANN, "POST", "/queue", 405, id="another method"),
        pytest.param(ANN, "GET", "/queue/../export", 404, id="a way around"),
        pytest.param(ANN, "GET", "//export", 404, id="two slashes"),
        pytest.param(ANN, "GET", "/EXPORT", 404, id="capitals"),
        pytest.param(ANN, "GET", "/queue\n", 404, id="a line break at the end"),
        pytest.param(NOBODY, "GET", "/queue", 401, id="nobody"),
        pytest.param(NOBODY, "GET", "/nowhere", 401, id="nobody learns what exists"),
        pytest.param(NOBODY, "POST", "/queue", 401, id="nobody with another method"),
        pytest.param(NOBODY, "GET", "/login", None, id="nobody signs in"),
        pytest.param(NOBODY, "DELETE", "/login", 401, id="public is the method, too"),
    ],
)
def test_the_gate_answers(actor: Actor, method: str, path: str, status: int | None) -> None:
    rules = [public("/login", "GET"), read("/queue", Permission.REVIEW), read("/export", Permission.EXPORT)]
    refusal = refuse(rules, actor, method, path)
    assert (None if refusal is None else refusal.status_code) == status


def test_all_permissions_of_a_rule_are_asked_for() -> None:
    both = frozenset({Permission.REVIEW, Permission.EXPORT})
    rules = [Rule(frozenset({"GET"}), re.compile("/both"), both)]
    assert refuse(rules, Actor("eve", Role.ENGINEER), "GET", "/both") is None
    refusal = refuse(rules, ANN, "GET", "/both")
    assert refusal is not None and refusal.status_code == 403


def test_web_sockets_are_closed_at_once() -> None:
    sent: list[dict[str, Any]] = []

    async def unreachable(*_arguments: Any) -> None:
        pytest.fail("the application was reached")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    gate = Gate(unreachable, [read(".*")], always(ANN), LOCAL)
    asyncio.run(gate({"type": "websocket", "path": "/queue", "headers": []}, unreachable, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def pages_with(listener: Any, queue: bool) -> gr.Blocks:
    with gr.Blocks() as pages:
        gr.Button().click(listener, None, None, queue=queue)
    return pages


def test_a_listener_that_does_something_must_say_what_it_asks_for() -> None:
    with pytest.raises(TypeError, match=r"act of page '' does not say what it asks for; put @allowed"):
        guard_listeners(pages_with(act, queue=True), {"": Permission.REVIEW})


def test_a_listener_that_cannot_be_guarded_is_refused() -> None:
    def trickle() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="trickle must be a plain function"):
        guard_listeners(pages_with(allowed(Permission.REVIEW)(trickle), queue=True), {"": Permission.REVIEW})


def act() -> None:
    """A listener that declares nothing."""


@pytest.mark.parametrize(
    ("role", "path", "is_allowed"),
    [
        pytest.param(Role.ANNOTATOR, "export", False, id="an annotator looks at another page's data"),
        pytest.param(Role.ENGINEER, "export", True, id="an engineer looks at them"),
    ],
)
def test_listeners_of_all_pages_check_who_calls_them(app: FastAPI, role: Role, path: str, is_allowed: bool) -> None:
    """Whoever has any page open may send the number of any listener."""
    fns = gradio_blocks(app).fns.values()
    event = next(each for each in fns if each.page == path and not each.queue and each.fn is not None)
    gate = next(layer for layer in app.user_middleware if layer.cls is Gate)
    gate.kwargs["identify"] = always(Actor("ann", role))
    app.middleware_stack = None
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        body = {"data": [None] * len(event.inputs), "fn_index": event._id, "session_hash": "s"}
        answer = client.post("/gradio_api/run/predict", json=body)
    assert (answer.status_code == 200) == is_allowed, answer.text
    if not is_allowed:
        assert "may not export labels" in html.unescape(answer.text)


def gradio_blocks(app: FastAPI) -> gr.Blocks:
    mounted = next(route for route in app.routes if getattr(route, "path", None) == "")
    found: gr.Blocks = mounted.app.get_blocks()  # type: ignore[attr-defined]
    return found
