"""Signing in and out over HTTP, and what an attacker tries there."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.domain.roles import Actor, Role
from app.services.local_actor import command_line_actor
from app.services.people import People
from app.services.people_types import Origin
from app.services.sign_ins import IDLE_LIFE
from app.storage.models import utc_now
from app.web.api import create_api
from tests.browser.workspace import build_workspace

ADDRESS = "http://127.0.0.1:7860"
OWN = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
PAGE = {"accept": "text/html"}
PASSWORD = "correct horse battery"
Open = Callable[[], TestClient]


@pytest.fixture
def app(tmp_path) -> FastAPI:
    """An application with two accounts: Lee leads, Ann annotates."""
    made = create_api(build_workspace(tmp_path, pool=1))
    people: People = made.state.context.people
    for name, role in (("lee", Role.LEAD), ("ann", Role.ANNOTATOR)):
        ticket = people.accounts.create(command_line_actor(), name, role)
        people.invitations.take(ticket.token, PASSWORD, Origin("test"))
    return made


@pytest.fixture
def browser(app: FastAPI) -> Iterator[Open]:
    """Browsers without anything in them."""
    opened: list[TestClient] = []

    def open_one() -> TestClient:
        opened.append(TestClient(app, base_url=ADDRESS, raise_server_exceptions=False, follow_redirects=False))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()
    app.state.context.store.close()


def sign_in(client: TestClient, name: str = "ann", password: str = PASSWORD, **more: str):
    return client.post("/login", data={"name": name, "password": password, **more}, headers=OWN)


def test_a_person_signs_in_works_and_signs_out(browser: Open) -> None:
    client = browser()
    answer = sign_in(client, next="/review?region=3")
    assert (answer.status_code, answer.headers["location"]) == (303, "/review?region=3")
    assert client.get("/api/session").json()["user"] == "ann"
    assert client.post("/logout", headers=OWN).headers["location"] == "/login"
    assert client.get("/api/session").status_code == 401


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(browser: Open) -> None:
    cookie = sign_in(browser()).headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie


def test_who_has_not_signed_in_is_led_to_the_form_and_back(browser: Open) -> None:
    client = browser()
    answer = client.get("/queue?state=open", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fqueue%3Fstate%3Dopen")
    assert 'value="/queue?state=open"' in client.get(answer.headers["location"]).text


def test_programs_are_told_in_a_sentence_to_sign_in(browser: Open) -> None:
    answer = browser().get("/api/queue")
    assert (answer.status_code, "sign in first" in answer.json()["error"]) == (401, True)


@pytest.mark.parametrize(
    "next_path",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/login", "/a\nb", "\x00/"],
)
def test_after_signing_in_nobody_is_sent_elsewhere(browser: Open, next_path: str) -> None:
    assert sign_in(browser(), next=next_path).headers["location"] == "/"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ann", "wrong password!"),
        ("nobody", PASSWORD),
        ("ann", ""),
        ("", ""),
        ("ann", "x" * 1000),
        ("lee\x00", PASSWORD),
    ],
)
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(browser: Open, name: str, password: str) -> None:
    answer = sign_in(browser(), name, password)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert re.search("wrong|does not", answer.text)


def test_many_wrong_passwords_make_everybody_wait_even_with_the_right_one(browser: Open) -> None:
    client = browser()
    statuses = [sign_in(client, password=f"wrong password {i}").status_code for i in range(20)]
    assert statuses[0] == 401 and statuses[-1] == 429
    answer = sign_in(client)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {},
    ],
    ids=["foreign page", "sandboxed page", "sibling site", "no browser"],
)
def test_another_site_cannot_sign_anybody_in(browser: Open, headers: dict[str, str]) -> None:
    answer = browser().post("/login", data={"name": "lee", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_another_site_cannot_act_with_somebodys_cookie(browser: Open) -> None:
    client = browser()
    sign_in(client, "lee")
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert client.post("/api/undo", json={"op_id": "a", "session": "t"}, headers=foreign).status_code == 403
    no_page = client.post("/api/undo", json={"op_id": "a", "session": "t"})
    assert no_page.status_code == 403


def test_a_session_that_was_known_before_is_not_kept_on_signing_in(browser: Open, app: FastAPI) -> None:
    client = browser()
    name = app.state.cookie._name  # noqa: SLF001 - what an attacker could plant
    client.cookies.set(name, "planted")
    sign_in(client)
    assert client.cookies.get(name, domain="127.0.0.1") != "planted"
    planted = browser()
    planted.cookies.set(name, "planted")
    assert planted.get("/api/session").status_code == 401


def test_a_disabled_person_is_out_at_once(browser: Open, app: FastAPI) -> None:
    client = browser()
    sign_in(client)
    app.state.context.people.accounts.disable(Actor("lee", Role.LEAD), "ann")
    assert client.get("/api/session").status_code == 401
    assert sign_in(browser()).status_code == 401


def test_another_role_counts_from_the_next_request_on(browser: Open, app: FastAPI) -> None:
    client = browser()
    sign_in(client)
    assert client.post("/api/jobs", json={"kind": "predict"}, headers=OWN).status_code == 403
    app.state.context.people.accounts.set_role(Actor("lee", Role.LEAD), "ann", Role.ENGINEER)
    assert client.post("/api/jobs", json={"kind": "nonsense"}, headers=OWN).status_code == 422


def test_a_session_that_nobody_used_for_long_has_ended(browser: Open, app: FastAPI) -> None:
    client = browser()
    sign_in(client)
    later = utc_now() + IDLE_LIFE + timedelta(minutes=1)
    app.state.context.people.sign_ins._clock = lambda: later  # noqa: SLF001 - time goes by
    assert client.get("/api/session").status_code == 401


def test_a_token_lets_a_script_act_as_its_person_until_it_is_revoked(browser: Open, app: FastAPI) -> None:
    tokens = app.state.context.people.tokens
    bearer = {"authorization": f"Bearer {tokens.make(command_line_actor(), 'ann', 'script')}"}
    client = browser()
    assert client.get("/api/session", headers=bearer).json()["user"] == "ann"
    assert client.post("/api/jobs", json={"kind": "predict"}, headers=bearer).status_code == 403
    tokens.revoke(command_line_actor(), tokens.tokens("ann")[0].id, only_own=False)
    assert client.get("/api/session", headers=bearer).status_code == 401


def test_an_invitation_lets_its_person_choose_a_password_once(browser: Open, app: FastAPI) -> None:
    ticket = app.state.context.people.accounts.create(command_line_actor(), "bob", Role.REVIEWER)
    client = browser()
    assert "bob" in client.get(f"/join?token={ticket.token}").text
    typed = {"token": ticket.token, "password": PASSWORD, "again": PASSWORD}
    assert client.post("/join", data={**typed, "again": "other"}, headers=OWN).status_code == 422
    assert client.post("/join", data=typed, headers=OWN).status_code == 303
    assert client.get("/api/session").json()["role"] == "reviewer"
    assert browser().post("/join", data=typed, headers=OWN).status_code == 401


def test_forms_run_no_script_and_load_nothing_from_elsewhere(browser: Open) -> None:
    answer = browser().get("/login")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in answer.text and "http://" not in answer.text and "https://" not in answer.text


def test_a_name_that_is_markup_is_shown_as_text(browser: Open) -> None:
    assert "<img src=x>" not in sign_in(browser(), '"><img src=x>', "wrong password!").text


def test_the_first_lead_is_made_with_the_admin_token_once(tmp_path) -> None:
    app = create_api(build_workspace(tmp_path / "first", pool=1))
    ticket = app.state.context.people.invitations.make_admin_token(command_line_actor())
    typed = {"token": ticket.token, "name": "Lee", "password": PASSWORD, "again": PASSWORD}
    with TestClient(app, base_url=ADDRESS, follow_redirects=False) as client:
        assert client.get("/api/session").json()["role"] == "lead"  # Nobody has to sign in yet.
        assert client.post("/setup", data={**typed, "token": "guess"}, headers=OWN).status_code == 401
        assert client.post("/setup", data=typed, headers=OWN).status_code == 303
        assert client.get("/api/session").json()["user"] == "lee"
        client.cookies.clear()
        assert client.get("/api/session").status_code == 401
        assert client.post("/setup", data={**typed, "name": "eve"}, headers=OWN).status_code == 401


def test_the_account_page_changes_the_password_and_ends_other_sessions(browser: Open) -> None:
    here, elsewhere = browser(), browser()
    sign_in(here)
    sign_in(elsewhere)
    typed = {"old": PASSWORD, "password": "another long secret", "again": "another long secret"}
    assert here.post("/account/password", data={**typed, "old": "wrong"}, headers=OWN).status_code == 422
    assert here.post("/account/password", data=typed, headers=OWN).status_code == 200
    assert here.get("/api/session").status_code == 200
    assert elsewhere.get("/api/session").status_code == 401
    assert sign_in(browser()).status_code == 401
    assert sign_in(browser(), password="another long secret").status_code == 303
