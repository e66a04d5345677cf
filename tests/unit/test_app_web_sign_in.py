"""Signing in and out through the forms, and what attackers try there."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI

from app.config import Reach
from app.domain.audit import AuditAction
from app.domain.roles import Role
from app.services.audit import AuditFilter, list_entries
from app.web.forms import own_path
from tests.unit.web_people import ADDRESS, HTML, OPERATOR, PASSWORD, browser, context_of, make_app, script


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return make_app(tmp_path_factory.mktemp("sign_in"))


@pytest.fixture
def fresh(tmp_path: Path) -> FastAPI:
    return make_app(tmp_path)


def login(client, name="ann", password=PASSWORD, **more):
    return client.post("/login", data={"name": name, "password": password, **more})


def test_a_page_leads_to_the_form_and_the_form_back_to_the_page(app: FastAPI) -> None:
    with browser(app) as client:
        asked = client.get("/review?region=3&state=open", headers=HTML)
        assert asked.status_code == 303
        form = client.get(asked.headers["location"])
        wanted = re.search(r'name="next" value="([^"]*)"', form.text)
        assert wanted and wanted[1] == "/review?region=3&amp;state=open"
        answer = login(client, next="/review?region=3&state=open")
        assert (answer.status_code, answer.headers["location"]) == (303, "/review?region=3&state=open")
        assert client.get("/review?region=3&state=open", headers=HTML).status_code == 200


def test_the_api_answers_nobody_with_a_sentence(app: FastAPI) -> None:
    with browser(app) as client:
        answer = client.get("/api/queue", headers=HTML)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json() == {"error": "sign in first: nobody has signed in from here, or the session has ended"}


def test_the_cookie_is_for_this_server_only(app: FastAPI) -> None:
    with browser(app) as client:
        cookie = login(client).headers["set-cookie"]
    name, _, attributes = cookie.partition("=")
    assert name == f"pixelsieve-{context_of(app).workspace_id[:8]}"
    assert {part.strip().lower() for part in attributes.split(";")[1:]} == {
        "httponly", "samesite=strict", "path=/", "max-age=604800",
    }  # fmt: skip


@pytest.mark.parametrize("proxy", ["10.0.0.1", None], ids=["behind a proxy", "by its own certificate"])
def test_by_https_the_cookie_is_secure_and_bound_to_the_host(tmp_path: Path, proxy: str | None) -> None:
    app = make_app(tmp_path, Reach(frozenset({"x.example.org"}), True, proxy))
    with browser(app, address="https://x.example.org") as client:
        answer = login(client)
        assert (
            answer.headers["set-cookie"].startswith("__Host-pixelsieve-") and "; Secure" in answer.headers["set-cookie"]
        )
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert client.get("/queue", headers=HTML).status_code == 200


def test_https_is_never_guessed_from_a_header(app: FastAPI) -> None:
    with browser(app) as client:
        answer = client.post(
            "/login", data={"name": "ann", "password": PASSWORD},
            headers={"x-forwarded-proto": "https", "x-forwarded-host": "evil.example", "forwarded": "proto=https"},
        )  # fmt: skip
    assert answer.status_code == 303 and "secure" not in answer.headers["set-cookie"].lower()
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "evil",
        "/%0d%0aset-cookie:x", "/login?next=/login", "/logout", "/api/exports/x", "/a\r\nb", "/\t/evil.example",
        "http:/evil.example", "", "/setup",
    ],
)  # fmt: skip
def test_the_form_leads_to_own_pages_only(app: FastAPI, wanted: str) -> None:
    with browser(app) as client:
        answer = login(client, next=wanted)
    location = answer.headers["location"]
    assert answer.status_code == 303
    assert location == "/" or (location.startswith("/%0d") and not urlsplit(location).netloc)
    assert own_path(wanted) == location


@pytest.mark.parametrize("wanted", ["/", "/queue", "/review?region=3&state=open", "/queue#top", "/review?next=//evil"])
def test_own_pages_are_kept(wanted: str) -> None:
    assert own_path(wanted) == wanted


def test_a_wrong_password_shows_the_form_again_and_tells_screen_readers(app: FastAPI) -> None:
    with browser(app) as client:
        answer = login(client, password="<script>alert(1)</script>", name="<b>ann", next="/queue")
    assert answer.status_code == 401 and 'role="alert"' in answer.text
    assert "The name or the password is wrong." in answer.text
    assert "<script" not in answer.text and "<b>" not in answer.text and 'value="/queue"' in answer.text


def test_waiting_is_said_in_the_form(fresh: FastAPI) -> None:
    with browser(fresh) as client:
        for _ in range(5):
            assert login(client, password="wrong words in a row").status_code == 401
        answer = login(client)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) in (1, 2)
    assert "Too many attempts; the next one is looked at in" in answer.text


@pytest.mark.parametrize(
    ("proxy", "peer", "expected"),
    [
        pytest.param(None, "10.0.0.1", "10.0.0.1", id="no proxy was named"),
        pytest.param("10.0.0.1", "10.0.0.2", "10.0.0.2", id="not from the proxy"),
        pytest.param("10.0.0.1", "10.0.0.1", "10.0.0.7", id="from the proxy, which wrote the last entry"),
        pytest.param("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.7", id="the proxy by the newer protocol"),
    ],
)
def test_only_the_proxy_that_was_named_says_where_people_are(
    tmp_path: Path, proxy: str | None, peer: str, expected: str
) -> None:
    app = make_app(tmp_path, Reach(frozenset({"x.example.org"}), proxy is not None, proxy))
    scheme = "http" if proxy is None else "https"
    with browser(app, address=f"{scheme}://x.example.org", peer=peer) as client:
        client.headers["x-forwarded-for"] = "6.6.6.6, 10.0.0.7"
        login(client, password="wrong words in a row")
    entry = list_entries(context_of(app).store, AuditFilter(action=AuditAction.SIGN_IN_FAILED), 1)[0]
    assert entry.details["address"] == expected


ATTACKS = [
    pytest.param({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, id="a page elsewhere"),
    pytest.param({"origin": "null", "sec-fetch-site": "cross-site"}, id="a sandboxed page"),
    pytest.param({"origin": "http://127.0.0.1:9999", "sec-fetch-site": "same-site"}, id="another port"),
    pytest.param({"origin": "", "sec-fetch-site": ""}, id="no page named"),
    pytest.param({"origin": "http://localhost:7860"}, id="another name of this machine"),
]


@pytest.mark.parametrize("headers", ATTACKS)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/undo", b'{"op_id": "evil", "session": "evil"}'), ("/logout", b""), ("/account/tokens", b"name=evil"),
        ("/gradio_api/queue/join", b"{}"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_other_pages_cannot_use_a_persons_session(
    app: FastAPI, headers: dict[str, str], path: str, body: bytes, kind: str
) -> None:
    with browser(app, "lea") as client:
        for name in ("origin", "sec-fetch-site"):
            del client.headers[name]
        sent = {name: value for name, value in headers.items() if value}
        answer = client.post(path, content=body, headers={**sent, "content-type": kind})
        assert answer.status_code == 403 and "another site's page" in answer.json()["error"]
        assert client.get("/api/session").status_code == 200


@pytest.mark.parametrize("headers", ATTACKS)
@pytest.mark.parametrize("path", ["/login", "/join", "/setup"])
def test_nobody_is_signed_in_by_another_page(app: FastAPI, headers: dict[str, str], path: str) -> None:
    with browser(app) as client:
        for name in ("origin", "sec-fetch-site"):
            del client.headers[name]
        sent = {name: value for name, value in headers.items() if value}
        answer = client.post(path, data={"name": "ann", "password": PASSWORD}, headers=sent)
        assert answer.status_code == 403 and "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:7860", ""])
def test_a_name_that_was_pointed_here_reaches_nothing(app: FastAPI, host: str) -> None:
    with browser(app, "lea") as client:
        for path in ("/login", "/api/session", "/healthz"):
            assert client.get(path, headers={"host": host}).status_code == 421


def test_a_link_from_another_site_finds_the_session_again(app: FastAPI) -> None:
    """The browser keeps a strict cookie back then, so the form sends itself once more, now from our own page."""
    with browser(app) as client:
        answer = client.get("/login?next=/queue", headers={"sec-fetch-site": "cross-site"})
        assert '<meta http-equiv="refresh" content="0; url=/login?next=%2Fqueue">' in answer.text
        assert "<form" not in answer.text
    with browser(app, "ann") as client:
        answer = client.get("/login?next=%2Fqueue")
        assert (answer.status_code, answer.headers["location"]) == (303, "/queue")


@pytest.mark.parametrize("path", ["/login", "/join?token=x", "/setup", "/account"])
def test_the_forms_run_no_script_and_are_kept_nowhere(app: FastAPI, path: str) -> None:
    with browser(app, "ann" if path == "/account" else None) as client:
        answer = client.get(path)
        while answer.status_code == 303:
            answer = client.get(answer.headers["location"])
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; img-src data:;")
    assert "unsafe" not in answer.headers["content-security-policy"] and "<script" not in answer.text
    assert answer.headers["cache-control"] == "no-store" and answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_signing_out_ends_the_session_on_the_server(app: FastAPI) -> None:
    with browser(app, "ann") as client:
        cookies = dict(client.cookies)
        answer = client.post("/logout")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        client.cookies.update(cookies)  # A thief kept the cookie.
        assert client.get("/api/session").status_code == 401


def test_signing_out_by_a_link_is_not_possible(app: FastAPI) -> None:
    with browser(app, "ann") as client:
        assert client.get("/logout").status_code == 405
        assert client.get("/api/session").status_code == 200


def test_an_invitation_is_taken_in_the_browser_and_signs_in(fresh: FastAPI) -> None:
    ticket = context_of(fresh).people.accounts.create(OPERATOR, "zoë", Role.REVIEWER)
    with browser(fresh) as client:
        page = client.get(f"/join?token={ticket.token}")
        assert 'value="zoë"' in page.text
        form = {"token": ticket.token, "password": "another four words", "again": "another four words"}
        differing = client.post("/join", data={**form, "again": "something else"})
        assert differing.status_code == 422 and "The two passwords differ" in differing.text
        assert ticket.token in differing.text and "another four words" not in differing.text
        assert client.post("/join", data=form).status_code == 303
        assert client.get("/api/session").json()["user"] == "zoë"
        used = client.post("/join", data=form)
        assert used.status_code == 401 and "This link does not work" in used.text


def test_the_first_lead_is_made_in_the_browser(tmp_path: Path) -> None:
    app = make_app(tmp_path, Reach(frozenset({"x.example.org"})), with_people=False)
    ticket = context_of(app).people.invitations.make_admin_token(OPERATOR)
    with browser(app, address="http://x.example.org") as client:
        asked = client.get("/", headers=HTML)
        assert client.get(asked.headers["location"]).headers["location"] == "/setup"
        form = {"token": ticket.token, "name": "Lea", "password": PASSWORD, "again": PASSWORD}
        assert client.post("/setup", data={**form, "token": "guess"}).status_code == 401
        assert client.post("/setup", data={**form, "name": "le a"}).status_code == 422
        assert client.post("/setup", data=form).status_code == 303
        session = client.get("/api/session").json()
        assert (session["user"], session["role"]) == ("lea", "lead")
        assert client.post("/setup", data=form).status_code == 401
        assert client.get("/setup").headers["location"] == "/login"


def test_without_accounts_whoever_is_on_this_machine_is_lead(tmp_path: Path) -> None:
    app = make_app(tmp_path, with_people=False)
    with browser(app) as client:
        assert client.get("/queue", headers=HTML).status_code == 200
        assert client.get("/api/session").json()["role"] == "lead"
        assert client.get("/login?next=/queue").headers["location"] == "/queue"


def test_the_first_account_closes_the_server_while_it_runs(tmp_path: Path) -> None:
    app = make_app(tmp_path, with_people=False)
    with browser(app) as client:
        assert client.get("/api/session").status_code == 200
        context_of(app).people.accounts.create(OPERATOR, "lea", Role.LEAD)
        assert client.get("/api/session").status_code == 401


def test_people_see_and_end_their_sessions(app: FastAPI) -> None:
    with browser(app, "rob") as one, browser(app, "rob") as other:
        page = one.get("/account").text
        (ending,) = re.findall(r'action="(/account/sessions/\d+/end)"', page)
        assert one.post(ending).status_code == 200
        assert one.get("/api/session").status_code == 200 and other.get("/api/session").status_code == 401
    with browser(app, "ann") as client:
        other_id = context_of(app).people.sign_ins.sessions("rob")[0].id
        assert client.post(f"/account/sessions/{other_id}/end").status_code == 404


def test_a_token_is_shown_once_and_works_until_it_is_revoked(app: FastAPI) -> None:
    with browser(app, "rob") as client:
        shown = client.post("/account/tokens", data={"name": "nightly <b>export"})
        (token,) = re.findall(r"psv_[\w-]+", shown.text)
        assert token not in client.get("/account").text and "<b>export" not in shown.text
        authorized = {"authorization": f"Bearer {token}"}
        with browser(app) as other:
            assert other.get("/api/session", headers=authorized).json()["user"] == "rob"
            (revoking,) = re.findall(r'action="(/account/tokens/\d+/revoke)"', client.get("/account").text)
            assert client.post(revoking).status_code == 200
            refused = other.get("/api/session", headers=authorized)
            assert refused.status_code == 401 and "token is not valid" in refused.json()["error"]


def test_a_token_makes_no_other_token(app: FastAPI) -> None:
    with script(app, "rob") as client:
        assert client.get("/api/session").json()["user"] == "rob"
        assert client.get("/account").status_code == 403
        before = len(context_of(app).people.tokens.tokens("rob"))
        assert client.post("/account/tokens", data={"name": "another"}).status_code == 403
        assert len(context_of(app).people.tokens.tokens("rob")) == before


def test_a_new_password_ends_the_other_sessions(fresh: FastAPI) -> None:
    with browser(fresh, "ann") as client, browser(fresh, "ann") as other:
        form = {"old": PASSWORD, "password": "another four words", "again": "another four words"}
        wrong = client.post("/account/password", data={**form, "old": "wrong"})
        assert wrong.status_code == 422 and "The present password is wrong" in wrong.text
        assert client.post("/account/password", data=form).status_code == 200
        assert client.get("/api/session").status_code == 200 and other.get("/api/session").status_code == 401


def test_a_page_for_another_role_says_so(app: FastAPI) -> None:
    with browser(app, "ann") as client:
        answer = client.get("/export", headers=HTML)
    assert answer.status_code == 403 and answer.headers["content-type"].startswith("text/html")
    assert "Not for your role" in answer.text and "Ann is annotator here" not in answer.text
    assert "may not" in answer.text and "Sign out" in answer.text


@pytest.mark.parametrize("name", ["ann", "nobody", "no such name!"])
def test_an_answer_does_not_say_whether_a_name_exists(app: FastAPI, name: str) -> None:
    with browser(app) as client:
        answer = login(client, name=name, password="wrong words in a row")
    assert answer.status_code == 401
    assert re.sub(re.escape(f'value="{name}"'), "", answer.text) == re.sub('value="nobody"', "", answer_for_nobody(app))


def answer_for_nobody(app: FastAPI) -> str:
    with browser(app) as client:
        return login(client, name="nobody", password="wrong words in a row").text


def test_too_many_writes_of_one_person_wait(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.write_limit.AT_ONCE", 3)
    monkeypatch.setattr("app.web.write_limit.PER_SECOND", 0.001)
    app.middleware_stack = None
    with browser(app) as ann, browser(app, "rob") as rob:
        assert login(ann).status_code == 303
        body = {"op_id": "none", "session": "tab"}
        answers = [ann.post("/api/undo", json=body) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [422, 422, 422, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert ann.get("/api/queue").status_code == 200
        assert rob.post("/api/undo", json=body).status_code == 422
    app.middleware_stack = None


def test_an_address_of_the_form_holds_what_was_asked_for(app: FastAPI) -> None:
    with browser(app) as client:
        location = client.get("/queue?state=open&x=%26next%3Dhttps://evil", headers=HTML).headers["location"]
    assert parse_qs(urlsplit(location).query) == {"next": ["/queue?state=open&x=%26next%3Dhttps://evil"]}
    assert urlsplit(location).path == "/login" and ADDRESS not in location


FOR_PEOPLE = "/static/now/reviewer/main.js", "/static/now/panels/dom.js", "/assets/x.js", "/config", "/theme.css"


def test_nobody_reads_scripts_and_settings_before_signing_in(app: FastAPI) -> None:
    with browser(app) as client:
        assert {client.get(path).status_code for path in FOR_PEOPLE} == {401}
        assert client.get("/healthz").json() == {"status": "ok"}
