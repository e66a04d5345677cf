"""A served workspace with a person of every role, and what their browsers and scripts send."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.config import Reach
from app.domain.roles import Actor, Role
from app.services.people_types import Origin
from app.web.context import WebContext
from app.web.server import create_app
from tests.browser.workspace import build_workspace

ADDRESS = "http://127.0.0.1:7860"
OPERATOR = Actor("root (command line)", Role.LEAD)
PASSWORD = "four words in a row"
NAMES = {Role.ANNOTATOR: "ann", Role.REVIEWER: "rob", Role.ENGINEER: "eve", Role.LEAD: "lea"}
HTML = {"accept": "text/html"}


def make_app(root: Path, reach: Reach | None = None, with_people: bool = True) -> FastAPI:
    """An application over two images, with one person per role."""
    app = create_app(build_workspace(root, pool=2), reach=reach or Reach())
    if with_people:
        people = context_of(app).people
        for role, name in NAMES.items():
            ticket = people.accounts.create(OPERATOR, name, role)
            people.invitations.take(ticket.token, PASSWORD, Origin("127.0.0.1"))
    return app


def context_of(app: FastAPI) -> WebContext:
    context: WebContext = app.state.context
    return context


@contextmanager
def browser(
    app: FastAPI, name: str | None = None, address: str = ADDRESS, peer: str = "127.0.0.1"
) -> Iterator[httpx.Client]:
    """A browser, signed in as somebody: it keeps cookies and names the page that its requests come from."""
    with TestClient(
        app, base_url=address, raise_server_exceptions=False, follow_redirects=False, client=(peer, 50_000)
    ) as client:
        client.headers.update({"origin": address, "sec-fetch-site": "same-origin"})
        if name is not None:
            answer = client.post("/login", data={"name": name, "password": PASSWORD, "next": "/"})
            assert answer.status_code == 303, answer.text
        yield client


@contextmanager
def script(app: FastAPI, name: str) -> Iterator[httpx.Client]:
    """A program with a token of somebody."""
    token = context_of(app).people.tokens.make(OPERATOR, name, "a test")
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False, follow_redirects=False) as client:
        client.headers["authorization"] = f"Bearer {token}"
        yield client
