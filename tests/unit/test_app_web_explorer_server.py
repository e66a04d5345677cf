"""FiftyOne's page behind our guard: this machine, this workspace's files."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.web.explorer_server import WorkspaceFiles, reach_of, require_private
from app.web.security import Guard


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "image.png").write_bytes(b"png")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link.png").symlink_to(tmp_path / "secret.txt")
    return root


@pytest.fixture
def client(root):
    async def answer(request):
        return PlainTextResponse(request.query_params.get("filepath", "page"))

    routes = [Route("/media", answer), Route("/graphql", answer, methods=["POST"]), Route("/", answer)]
    guarded = Guard(WorkspaceFiles(Starlette(routes=routes), root), reach_of("http://127.0.0.1:5151"))
    return TestClient(guarded, base_url="http://127.0.0.1:5151")


def test_files_of_the_workspace_are_sent_and_no_others(client, root):
    def status(path):
        return client.get("/media", params={"filepath": path}).status_code

    assert status(str(root / "image.png")) == 200
    outside = ["/etc/passwd", str(root.parent / "secret.txt"), str(root / ".." / "secret.txt"), str(root / "link.png")]
    assert [status(path) for path in [*outside, "", "image.png"]] == [403] * 6
    two = f"/media?filepath={root}/image.png&filepath=/etc/passwd"
    assert [client.get(path).status_code for path in ("/media", two)] == [403, 403]


def test_nothing_may_be_loaded_from_elsewhere(client):
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "http" not in policy


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "http://127.0.0.1:5151", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"host": "evil.example"}, 421),
    ],
    ids=["own page", "other page", "other name"],
)
def test_other_pages_and_other_names_reach_nothing(client, headers, expected):
    assert client.post("/graphql", headers=headers).status_code == expected


def test_a_proxys_name_is_answered_as_well():
    reach = reach_of("https://explore.example.org/fiftyone")
    assert reach.answers_as("explore.example.org") and reach.answers_as("127.0.0.1") and reach.is_https
    assert not reach_of("http://127.0.0.1:5151").answers_as("explore.example.org")


def test_it_is_not_opened_where_others_reach_it():
    require_private("127.0.0.1", 5151)
    with pytest.raises(ValueError, match=r"refusing to open FiftyOne on 0\.0\.0\.0.*ssh -L 5151"):
        require_private("0.0.0.0", 5151)
