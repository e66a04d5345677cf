"""Must never happen: a number in a request ends in an unexpected error, after which browsers try again for ever."""

import re
from pathlib import Path

from fastapi.testclient import TestClient

from app.web.api import create_api
from tests.browser.workspace import build_workspace

HUGE = str(10**20)


def test_a_number_too_large_for_the_store_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    app = create_api(build_workspace(tmp_path, pool=1))
    client = TestClient(app, base_url="http://127.0.0.1:7860")
    answers = []
    for path, operations in app.openapi()["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", ()):
            kinds = [parameter["schema"], *parameter["schema"].get("anyOf", ())]
            if any(kind.get("type") == "integer" for kind in kinds):
                name = parameter["name"]
                url = re.sub(r"{(\w+)}", lambda found, name=name: HUGE if found[1] == name else "1", path)
                answers.append(client.get(url, params={} if parameter["in"] == "path" else {name: HUGE}))
    assert len(answers) > 30
    assert [answer.url for answer in answers if answer.status_code >= 500] == []
    assert any("too large" in answer.text for answer in answers)
