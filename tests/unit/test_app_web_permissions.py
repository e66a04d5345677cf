"""Every endpoint asks for a permission, and refuses people whose role does not have it."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.domain import roles
from app.domain.roles import Actor, Permission, Role, permits
from app.web.api import create_api
from app.web.context import get_actor
from tests.browser.workspace import build_workspace

PUBLIC = {"/healthz"}
SOME_OF_EACH = {
    ("GET", "/api/queue"): Permission.REVIEW,
    ("POST", "/api/undo"): Permission.REVIEW,
    ("GET", "/api/images/1/planes"): Permission.REVIEW,
    ("GET", "/api/jobs"): Permission.SEE_MODELS,
    ("POST", "/api/jobs"): Permission.RUN_JOBS,
    ("GET", "/api/exports/none/download"): Permission.EXPORT,
    ("GET", "/api/actions"): Permission.SEE_QUALITY,
    ("POST", "/api/models/1/promote"): Permission.PROMOTE,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create_api(build_workspace(tmp_path_factory.mktemp("permissions"), pool=1))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False) as made:
        yield made
    app.dependency_overrides.clear()


def endpoints(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every endpoint that is not public, with 1 for every id."""
    ids = defaultdict(lambda: "1")
    paths = {path: methods for path, methods in app.openapi()["paths"].items() if path not in PUBLIC}
    return [(method.upper(), path.format_map(ids)) for path, methods in paths.items() for method in methods]


def test_without_any_permission_no_endpoint_answers(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "ALLOWED", {permission: frozenset() for permission in Permission})
    answers = {(method, path): client.request(method, path).status_code for method, path in endpoints(app)}
    assert len(answers) > 15
    assert [endpoint for endpoint, status in answers.items() if status != 403] == []


@pytest.mark.parametrize("role", Role)
def test_each_role_reaches_what_it_may_and_nothing_else(app: FastAPI, client: TestClient, role: Role) -> None:
    app.dependency_overrides[get_actor] = lambda: Actor("ann", role)
    for (method, path), permission in SOME_OF_EACH.items():
        status = client.request(method, path).status_code
        assert (status != 403) == permits(role, permission), f"{method} {path} answers {status}"


def test_a_refusal_says_as_whom_and_whom_to_ask(app: FastAPI, client: TestClient) -> None:
    app.dependency_overrides[get_actor] = lambda: Actor("ann", Role.ANNOTATOR)
    answer = client.post("/api/models/1/promote", json={"reason": None})
    assert answer.status_code == 403
    assert answer.json()["error"] == (
        "ann is annotator here and may not choose the model that proposes, or its threshold; "
        "nothing was changed. Ask a lead."
    )
