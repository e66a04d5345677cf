"""Must never happen: somebody reaches what their role forbids. Every address, asked by nobody and by every role."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from fastapi import FastAPI

from app.domain.roles import Actor, Role, permits
from app.web.pages import PAGES, Page
from app.web.rules import Rule
from tests.unit.test_app_web_gate import every_route
from tests.unit.web_people import HTML, NAMES, browser, make_app

Clients = dict[Role | None, httpx.Client]

KEEPS_RUNNING = re.compile(r"/gradio_api/(heartbeat|queue/data).*")
"""Answers that do not end; the gate is asked about them without opening one (test_app_web_gate.py)."""
ENDS_THE_SESSION = "/logout"

LEADS, TECHNICAL = {Role.LEAD}, {Role.ENGINEER, Role.LEAD}
NOT_FOR_ANNOTATORS, EVERYBODY = set(Role) - {Role.ANNOTATOR}, set(Role)
WHO_MAY = {
    ("GET", "/api/session"): EVERYBODY,
    ("GET", "/api/queue"): EVERYBODY,
    ("GET", "/api/images/{image_id}/planes"): EVERYBODY,
    ("GET", "/api/images/{image_id}/picture"): EVERYBODY,
    ("GET", "/api/images/{image_id}/explorer"): TECHNICAL,
    ("POST", "/api/decisions"): EVERYBODY,
    ("POST", "/api/undo"): EVERYBODY,
    ("GET", "/api/flags"): NOT_FOR_ANNOTATORS,
    ("GET", "/api/me"): EVERYBODY,
    ("POST", "/api/me/tokens"): EVERYBODY,
    ("GET", "/api/models"): EVERYBODY,
    ("POST", "/api/assignments"): {Role.REVIEWER, Role.LEAD},
    ("POST", "/api/jobs"): TECHNICAL,
    ("POST", "/api/jobs/{job_id}/cancel"): TECHNICAL,
    ("GET", "/api/jobs/{job_id}/log"): TECHNICAL,
    ("POST", "/api/exports"): TECHNICAL,
    ("GET", "/api/exports/{name}/download"): TECHNICAL,
    ("POST", "/api/models/{model_id}/promote"): LEADS,
    ("POST", "/api/models/{model_id}/reject"): LEADS,
    ("POST", "/api/models/{model_id}/rollback"): LEADS,
    ("POST", "/api/models/limits"): LEADS,
    ("GET", "/api/threshold"): TECHNICAL,
    ("GET", "/api/threshold/preview"): TECHNICAL,
    ("POST", "/api/threshold"): LEADS,
    ("POST", "/api/threshold/asked"): LEADS,
    ("GET", "/api/actions"): LEADS,
    ("GET", "/api/quality"): LEADS,
    ("GET", "/api/quality/mine"): EVERYBODY,
    ("GET", "/api/suspects"): TECHNICAL,
    ("POST", "/api/suspects"): TECHNICAL,
    ("GET", "/api/suspects/{suspect_id}/picture"): TECHNICAL,
    ("POST", "/api/suspects/{suspect_id}/send"): TECHNICAL,
    ("POST", "/api/suspects/{suspect_id}/right"): TECHNICAL,
    ("POST", "/api/suspects/{suspect_id}/change"): TECHNICAL,
    ("POST", "/api/suspects/{suspect_id}/reopen"): TECHNICAL,
    ("GET", "/api/people"): LEADS,
    ("POST", "/api/people"): LEADS,
    ("POST", "/api/people/{name}/role"): LEADS,
    ("POST", "/api/people/{name}/disable"): LEADS,
    ("POST", "/api/people/{name}/reset"): LEADS,
    ("GET", "/api/sessions"): LEADS,
    ("POST", "/api/sessions/{session_id}/end"): LEADS,
    ("GET", "/api/audit"): LEADS,
    ("GET", "/api/audit.csv"): LEADS,
    ("GET", "/api/backups"): LEADS,
    ("POST", "/api/backups"): LEADS,
    ("GET", "/api/backups/{name}/download"): LEADS,
    ("GET", "/api/snapshots"): LEADS,
    ("GET", "/api/deleted"): LEADS,
    ("POST", "/api/deleted"): LEADS,
    ("POST", "/api/deleted/restore"): LEADS,
    ("GET", "/"): EVERYBODY,
    ("GET", "/queue"): EVERYBODY,
    ("GET", "/review"): EVERYBODY,
    ("GET", "/quality"): EVERYBODY,
    ("GET", "/second-review"): NOT_FOR_ANNOTATORS,
    ("GET", "/export"): TECHNICAL,
    ("GET", "/threshold"): TECHNICAL,
}
"""What the product says, written down once more by hand: the rules could all be the same and all be wrong."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return make_app(tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="module")
def clients(app: FastAPI) -> Iterator[Clients]:
    """A browser of nobody, and one of each role."""
    with ExitStack() as stack:
        opened: Clients = {None: stack.enter_context(browser(app))}
        for role, name in NAMES.items():
            opened[role] = stack.enter_context(browser(app, name))
        yield opened


def addresses(app: FastAPI) -> list[tuple[str, str, Rule]]:
    """Method, path pattern and rule of everything that is served."""
    found = []
    for method, path in sorted(set(every_route(app.routes))):
        rule = next((each for each in app.state.rules if matches(each, method, path)), None)
        if rule is not None:
            found.append((method, path, rule))
    return found


def matches(rule: Rule, method: str, path: str) -> bool:
    return method in rule.methods and rule.pattern.fullmatch(filled_in(path)) is not None


def filled_in(path: str) -> str:
    """An address of something that is not there, so that nothing changes."""
    return re.sub(r"{(\w+)(:\w+)?}", lambda match: "nothing.css" if match[2] == ":path" else "987654", path)


def is_let_in(answer: httpx.Response) -> bool:
    """Whether the gate passed it on; what is then wrong with it (404, 422) is another matter."""
    if answer.status_code == 303:
        return not answer.headers["location"].startswith("/login")
    return answer.status_code not in (401, 403)


def test_every_address_answers_whom_its_rule_lets_in_and_nobody_else(app: FastAPI, clients: Clients) -> None:
    asked, wrong = 0, []
    for method, path, rule in addresses(app):
        if KEEPS_RUNNING.fullmatch(path) or path == ENDS_THE_SESSION or rule.permissions is None:
            continue
        for role, client in clients.items():
            asked += 1
            answer = client.request(method, filled_in(path), headers=HTML if method == "GET" else None)
            expected = role is not None and all(permits(role, permission) for permission in rule.permissions)
            if is_let_in(answer) != expected:
                wrong.append((method, path, role, answer.status_code, answer.text[:80]))
    assert wrong == []
    assert asked > 300


@pytest.mark.parametrize(("method", "path"), WHO_MAY, ids=[f"{method} {path}" for method, path in WHO_MAY])
def test_who_may_do_what_is_as_the_product_says(clients: Clients, method: str, path: str) -> None:
    let_in = {role for role, client in clients.items() if is_let_in(client.request(method, filled_in(path)))}
    assert let_in == WHO_MAY[method, path]


@pytest.mark.parametrize("page", PAGES, ids=[page.path for page in PAGES])
def test_a_page_is_served_or_says_that_it_is_for_others(clients: Clients, page: Page) -> None:
    for role, client in clients.items():
        answer = client.get(page.path, headers=HTML)
        if role is None:
            assert (answer.status_code, answer.headers["location"]) == (
                303,
                f"/login?next={page.path.replace('/', '%2F')}",
            )
        elif permits(role, page.permission):
            assert answer.status_code == 200
        else:
            assert answer.status_code == 403 and "Not for your role" in answer.text


def test_nobody_reaches_anything_but_signing_in_and_the_health_check(app: FastAPI) -> None:
    open_to_all = {(method, path) for method, path, rule in addresses(app) if rule.permissions is None}
    assert {path for _, path in open_to_all} == {"/login", "/join", "/setup", "/static/forms.css", "/healthz"}


def test_who_has_signed_out_is_nobody(app: FastAPI) -> None:
    with browser(app, NAMES[Role.LEAD]) as client:
        assert client.post(ENDS_THE_SESSION).status_code == 303
        let_in = [path for _, path, rule in addresses(app) if path.startswith("/api") and is_let_in(client.get(path))]
    assert let_in == []


def test_a_role_that_was_taken_away_is_gone_with_the_next_request(app: FastAPI) -> None:
    people = app.state.context.people
    lead = Actor(NAMES[Role.LEAD], Role.LEAD)
    with browser(app, "eve") as client:
        assert client.get("/export", headers=HTML).status_code == 200
        people.accounts.set_role(lead, "eve", Role.ANNOTATOR)
        assert client.get("/export", headers=HTML).status_code == 403
        people.accounts.set_role(lead, "eve", Role.ENGINEER)
        assert client.get("/export", headers=HTML).status_code == 200
