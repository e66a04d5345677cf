"""Assigning and comments over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.domain.roles import Actor, Role
from app.services.explorer_folder import ExplorerLinks, write_links
from app.web.api import create_api
from app.web.context import get_actor
from tests.browser.workspace import build_workspace

SignedIn = Callable[[str, Role], TestClient]


@pytest.fixture
def signed_in(tmp_path: Path) -> Iterator[SignedIn]:
    """The API as a person of a role sees it."""
    app = create_api(build_workspace(tmp_path, pool=2))
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:

        def as_person(name: str, role: Role) -> TestClient:
            app.dependency_overrides[get_actor] = lambda: Actor(name, role)
            return client

        yield as_person


def queue(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get("/api/queue", params={"limit": 500, **query}).json()["rows"]
    return rows


def test_an_annotator_sees_own_images_and_those_of_nobody(signed_in: SignedIn) -> None:
    lead = signed_in("lee", Role.LEAD)
    first, second = (image["image_id"] for image in lead.get("/api/images").json()["images"])
    assert lead.post("/api/assignments", json={"image_ids": [first], "assignee": "bob"}).json() == {"changed": 1}
    ann = signed_in("ann", Role.ANNOTATOR)
    assert {row["image_id"] for row in queue(ann)} == {second}
    assert [image["image_id"] for image in ann.get("/api/images").json()["images"]] == [second]
    next_id = ann.get("/api/regions/next").json()["region_id"]
    assert ann.get(f"/api/regions/{next_id}").json()["row"]["image_id"] == second


def test_everybodys_queue_is_for_those_who_assign(signed_in: SignedIn) -> None:
    lead = signed_in("lee", Role.LEAD)
    first = lead.get("/api/images").json()["images"][0]["image_id"]
    lead.post("/api/assignments", json={"image_ids": [first], "assignee": "bob"})
    assert {row["assignee"] for row in queue(lead, everybody=True)} == {"bob", None}
    assert {row["assignee"] for row in queue(lead)} == {None}
    refused = signed_in("ann", Role.ANNOTATOR).get("/api/queue", params={"everybody": True})
    assert (refused.status_code, "for reviewers and leads" in refused.json()["error"]) == (403, True)


def test_two_people_who_begin_at_the_same_queue_meet_at_no_image_until_nothing_else_is_left(
    signed_in: SignedIn,
) -> None:
    anns = queue(signed_in("ann", Role.ANNOTATOR), limit=1, ahead=True)
    bobs = queue(signed_in("bob", Role.ANNOTATOR), ahead=True)
    assert bobs and anns[0]["image_id"] not in {row["image_id"] for row in bobs}
    bob = signed_in("bob", Role.ANNOTATOR)
    assert bob.get("/api/regions/next").json()["region_id"] == bobs[0]["region_id"]
    assert {row["image_id"] for row in queue(bob)} > {row["image_id"] for row in bobs}  # Lists show all.
    assert queue(signed_in("cyn", Role.ANNOTATOR), ahead=True)  # Two images, three people.
    cyns = signed_in("cyn", Role.ANNOTATOR).get("/api/regions/next").json()["region_id"]
    assert cyns == anns[0]["region_id"]


def test_the_end_of_the_queue_says_what_waits_with_others(signed_in: SignedIn) -> None:
    ann = signed_in("ann", Role.ANNOTATOR)
    row = queue(ann)[0]
    body = {"op_id": "1", "kind": "dont_know", "region_id": row["region_id"], "image_id": row["image_id"],
            "image_version": 0, "session": "tab-ann"}  # fmt: skip
    assert ann.post("/api/decisions", json=body).status_code == 200
    ann.post(f"/api/leases/{row['image_id']}", json={"session": "tab-ann"})
    rob = signed_in("rob", Role.REVIEWER)
    asked = {"state": "second_review", "ahead": True}
    answer = rob.get("/api/queue", params=asked).json()
    assert (answer["rows"], answer["elsewhere"]) == ([], {"at_work": 1, "people": ["ann"], "others": 0})
    signed_in("ann", Role.ANNOTATOR).post(f"/api/leases/{row['image_id']}/release", json={"session": "tab-ann"})
    answer = signed_in("rob", Role.REVIEWER).get("/api/queue", params=asked).json()
    assert [found["region_id"] for found in answer["rows"]] == [row["region_id"]]
    assert answer["elsewhere"] == {"at_work": 0, "people": [], "others": 0}


def test_the_end_of_the_queue_counts_what_is_given_to_others(signed_in: SignedIn) -> None:
    lead = signed_in("lee", Role.LEAD)
    images = [image["image_id"] for image in lead.get("/api/images").json()["images"]]
    lead.post("/api/assignments", json={"image_ids": images, "assignee": "bob"})
    answer = lead.get("/api/queue", params={"ahead": True}).json()
    assert (answer["rows"], answer["elsewhere"]["others"]) == ([], answer["counts"]["open"])


def test_images_are_shared_out(signed_in: SignedIn) -> None:
    lead = signed_in("lee", Role.LEAD)
    answer = lead.post("/api/assignments/share", json={"people": ["ann", "bob"]})
    assert answer.json() == {"shared": {"ann": 1, "bob": 1}}


def test_a_question_is_asked_answered_and_closed(signed_in: SignedIn) -> None:
    ann = signed_in("ann", Role.ANNOTATOR)
    row = queue(ann)[0]
    path = f"/api/images/{row['image_id']}/comments"
    asked = ann.post(path, json={"text": "<b>bus?</b>", "region_id": row["region_id"], "is_question": True})
    assert (asked.status_code, asked.json()["author"], asked.json()["text"]) == (201, "ann", "<b>bus?</b>")
    lee = signed_in("lee", Role.LEAD)
    assert [each["id"] for each in lee.get("/api/questions").json()["questions"]] == [asked.json()["id"]]
    lee.post(path, json={"text": "yes", "closes_id": asked.json()["id"]})
    assert lee.get("/api/questions").json() == {"questions": []}
    assert [each["author"] for each in lee.get(path).json()["comments"]] == ["ann", "lee"]


def test_an_annotator_cannot_decide_what_somebody_did_not_know(signed_in: SignedIn) -> None:
    ann = signed_in("ann", Role.ANNOTATOR)
    row = queue(ann)[0]
    body = {
        "op_id": "a-1", "kind": "dont_know", "image_id": row["image_id"], "region_id": row["region_id"],
        "image_version": 0, "session": "tab",
    }  # fmt: skip
    version = ann.post("/api/decisions", json=body).json()["image_version"]
    accept = {**body, "op_id": "a-2", "kind": "accept", "image_version": version}
    refused = ann.post("/api/decisions", json=accept)
    assert (refused.status_code, "a reviewer decides it" in refused.json()["error"]) == (403, True)
    assert signed_in("rea", Role.REVIEWER).post("/api/decisions", json=accept).status_code == 200


def test_the_way_to_fiftyone_is_told_to_those_who_explore_and_only_after_a_sync(signed_in: SignedIn) -> None:
    lead = signed_in("lee", Role.LEAD)
    image_id = queue(lead)[0]["image_id"]
    path = f"/api/images/{image_id}/explorer"
    assert (lead.get("/api/session").json()["has_explorer"], lead.get(path).json()) == (False, {"url": None})
    app: Any = lead.app
    context = app.state.context
    key = context.review.image(image_id).sha256
    write_links(context.workspace, ExplorerLinks(dataset="ws", samples={key: "6b08"}))
    assert lead.get(path).json() == {"url": "http://127.0.0.1:5151/datasets/ws?id=6b08"}
    assert lead.get("/api/session").json()["has_explorer"] is True
    ann = signed_in("ann", Role.ANNOTATOR)
    assert (ann.get("/api/session").json()["has_explorer"], ann.get(path).status_code) == (False, 403)
