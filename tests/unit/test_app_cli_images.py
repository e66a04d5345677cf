"""`pixelsieve images`."""

from contextlib import closing

import pytest
from typer.testing import CliRunner

from app.__main__ import application
from app.config import Workspace
from app.services.assigning import list_image_work
from app.services.comments import add_comment
from app.storage.database import open_store
from tests.unit.made_workspace import make_reviewable

POOL = ("pool_0", "pool_1")


@pytest.fixture
def root(tmp_path):
    with closing(make_reviewable(tmp_path, POOL)) as store:
        return store.workspace.root


def run(*arguments):
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


def owners(root):
    with closing(open_store(Workspace(root))) as store:
        return {work.sample_id: work.assignee for work in list_image_work(store)}


def test_images_are_assigned_listed_and_given_back(root):
    assert run("images", "assign", "pool_1", "-w", root, "--to", "ann").output == "1 of 1 images changed hands.\n"
    assert owners(root) == {"pool_0": None, "pool_1": "ann"}
    listed = run("images", "list", "-w", root, "--assignee", "ann").output
    assert "pool_1" in listed and "pool_0" not in listed
    assert "pool_0" in run("images", "list", "-w", root, "--assignee", "nobody").output
    run("images", "assign", "pool_1", "-w", root, "--to", "nobody")
    assert owners(root) == {"pool_0": None, "pool_1": None}


def test_images_are_shared_out(root):
    assert run("images", "share", "ann", "bob", "-w", root).output == "ann: 1 images\nbob: 1 images\n"
    assert sorted(owners(root).values()) == ["ann", "bob"]


def test_a_person_without_an_account_gets_nothing(root):
    run("users", "add", "ann", "-w", root)
    for arguments in (("assign", "pool_1", "--to", "ghost"), ("share", "ann", "ghost")):
        result = run("images", *arguments, "-w", root)
        assert result.exit_code == 2
        assert "'ghost' has no account" in result.stderr and "There is ann." in " ".join(result.stderr.split())
    assert owners(root) == {"pool_0": None, "pool_1": None}


def test_an_unknown_image_is_named_and_nothing_is_changed(root):
    result = run("images", "assign", "pool_0", "pool_9", "-w", root, "--to", "ann")
    assert result.exit_code == 2
    assert "there is no image 'pool_9' to review; see: pixelsieve images list" in result.stderr
    assert owners(root) == {"pool_0": None, "pool_1": None}


def test_questions_are_listed_with_who_asks_and_about_what(root):
    assert run("images", "questions", "-w", root).output == "No question waits for an answer.\n"
    with closing(open_store(Workspace(root))) as store:
        image_id = list_image_work(store)[0].image_id
        add_comment(store, "ann", "tram [or] bus?", image_id, is_question=True)
    listed = run("images", "questions", "-w", root).output
    assert "ann about pool_" in listed and "tram [or] bus?" in listed
