"""Must never happen: what one person or workspace left in a browser is stored as another's."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.web.context import WebContext
from tests.unit.test_app_web_api import client, context, decision, log_length, region

__all__ = ["client", "context", "region"]  # Fixtures.


@pytest.mark.parametrize(
    ("header", "value", "status", "sentence"),
    [
        ("X-Pixelsieve-Workspace", "0" * 32, 421, "another workspace is served at this address now"),
        ("X-Pixelsieve-User", "zo%C3%AB", 401, "this was decided by zoë, but .* is signed in now"),
    ],
    ids=["workspace", "person"],
)
@pytest.mark.parametrize("path", ["decisions", "accept-rest", "undo", "redo"])
def test_decision_of_another_person_or_workspace_is_kept_by_its_browser(
    client: TestClient, context: WebContext, region: dict[str, Any], path: str, header: str, value: str, status: int,
    sentence: str,
) -> None:  # fmt: skip
    before = log_length(context)
    body = {"op_id": "foreign", "session": "tab-1"} if path in ("undo", "redo") else decision(region, "foreign")
    address = f"/api/images/{region['row']['image_id']}/accept-rest" if path == "accept-rest" else f"/api/{path}"
    answer = client.post(address, json=body, headers={header: value})
    assert answer.status_code == status
    assert re.search(sentence, answer.json()["error"])
    assert log_length(context) == before
