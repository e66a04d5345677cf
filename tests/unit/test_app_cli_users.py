"""`pixelsieve users`."""

from contextlib import closing

import pytest
from typer.testing import CliRunner

from app.__main__ import application
from app.config import Workspace
from app.services.audit import AuditFilter, list_entries
from app.services.explorer_folder import ExplorerLinks, write_links
from app.services.people import open_people
from app.services.people_types import Origin
from app.storage.database import open_store

PASSWORD = "correct horse battery"


@pytest.fixture
def root(tmp_path):
    open_store(Workspace(tmp_path), create=True).close()
    return tmp_path


def run(*arguments, typed=None):
    return CliRunner().invoke(application, [str(argument) for argument in arguments], input=typed)


def can_sign_in(root, name):
    with closing(open_store(Workspace(root))) as store:
        try:
            return bool(open_people(store).sign_ins.sign_in(name, PASSWORD, Origin("test")))
        except RuntimeError:
            return False


def test_a_lead_is_made_in_the_terminal_and_can_sign_in(root):
    result = run(
        "users", "add", "Lee", "--role", "lead", "--set-password", "-w", root, typed=f"{PASSWORD}\n{PASSWORD}\n"
    )
    assert result.output.endswith("lee can sign in.\n")
    assert can_sign_in(root, "lee")
    assert "lee" in run("users", "list", "-w", root).output


def test_an_invitation_is_printed_and_no_password_is_set(root):
    assert "/join?token=" in run("users", "add", "ann", "-w", root).output
    assert not can_sign_in(root, "ann")


def test_the_first_leads_link_is_printed(root):
    assert "/setup?token=" in run("users", "setup", "-w", root).output


def test_a_link_is_whole_where_the_address_of_the_app_is_known(root):
    given = run("users", "add", "ann", "--reviewer-url", "https://review.example.org/", "-w", root).output
    assert "  https://review.example.org/join?token=" in given and "Put before it" not in given
    assert "Put before it where people open the app" in run("users", "setup", "-w", root).output
    write_links(Workspace(root), ExplorerLinks(dataset="ours", reviewer_url="http://ours:7860"))
    assert "  http://ours:7860/setup?token=" in run("users", "setup", "-w", root).output


def test_people_are_locked_out_and_let_in_again(root):
    for name in ("lee", "kim"):
        run("users", "add", name, "--role", "lead", "--set-password", "-w", root, typed=f"{PASSWORD}\n{PASSWORD}\n")
    run("users", "disable", "kim", "-w", root)
    assert not can_sign_in(root, "kim")
    run("users", "enable", "kim", "-w", root)
    assert can_sign_in(root, "kim")
    assert "kim" in run("users", "sessions", "kim", "-w", root).output
    assert "1 sessions of kim have ended" in run("users", "sessions", "kim", "--end", "-w", root).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("disable", "lee"), "lee"),
        (("role", "lee", "annotator"), "lee"),
        (("disable", "nobody"), "nobody"),
        (("add", "lee"), "already"),
        (("add", "a b"), "letters, digits"),
        (("sessions", "--end"), "--end needs the name"),
    ],
    ids=["last lead off", "last lead demoted", "unknown", "twice", "name", "end whose"],
)
def test_what_makes_no_sense_is_refused_in_one_line(root, arguments, message):
    run("users", "add", "lee", "--role", "lead", "--set-password", "-w", root, typed=f"{PASSWORD}\n{PASSWORD}\n")
    result = run("users", *arguments, "-w", root)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ") and message in result.stderr
    assert can_sign_in(root, "lee")


def test_a_token_works_and_the_log_says_who_made_it_but_not_the_token(root):
    run("users", "add", "ann", "-w", root)
    token = run("users", "token", "ann", "--for", "nightly", "-w", root).output.strip()
    with closing(open_store(Workspace(root))) as store:
        assert open_people(store).tokens.identify(token, Origin("test")).name == "ann"
        entries = list_entries(store, AuditFilter(), 10)
        assert entries[0].action == "token_made" and "(command line)" in entries[0].actor
        assert token not in str(entries)
