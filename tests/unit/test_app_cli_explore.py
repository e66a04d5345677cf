"""`pixelsieve explore`."""

from contextlib import closing
from importlib import util

import pytest
from typer.testing import CliRunner

from app.__main__ import application
from app.cli import jobs
from app.domain.states import JobKind
from app.services.jobs import ARGUMENTS, JobArguments
from app.web import explorer_ready
from tests.unit.made_workspace import make_reviewable

COMMANDS = ("status", "sync", "open")


@pytest.fixture
def root(tmp_path):
    with closing(make_reviewable(tmp_path)) as store:
        return store.workspace.root


def run(*arguments):
    return CliRunner().invoke(application, ["explore", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("command", COMMANDS)
def test_without_fiftyone_one_sentence_says_how_to_get_it(root, command, monkeypatch):
    monkeypatch.setattr(explorer_ready, "find_spec", lambda name: None if name == "fiftyone" else util.find_spec(name))
    result = run(command, "-w", root)
    assert result.exit_code == 3
    assert result.stderr == "Error: FiftyOne is not installed; install it with: pip install -e '.[explore]'\n"
    assert not (root / "explore").exists()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("mongodb_server")
def test_without_an_answer_from_its_database_one_sentence_says_so(root, command, monkeypatch):
    monkeypatch.setattr(explorer_ready, "_PING_S", 0.2)
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://lee:secret@127.0.0.1:1/")
    result = run(command, "-w", root)
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: the MongoDB of FIFTYONE_DATABASE_URI does not answer (127.0.0.1:1")
    assert result.stderr.count("\n") == 1 and "secret" not in result.stderr


def test_without_a_database_one_sentence_says_where_to_name_it(root, monkeypatch, tmp_path):
    monkeypatch.setattr(explorer_ready, "find_spec", lambda _: object())
    monkeypatch.setattr(explorer_ready, "_has_own_database", lambda: False)
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.setenv("FIFTYONE_CONFIG_PATH", str(tmp_path / "none.json"))
    result = run("status", "-w", root)
    assert result.exit_code == 3
    assert "set FIFTYONE_DATABASE_URI, for example to mongodb://127.0.0.1:27017" in result.stderr


@pytest.mark.usefixtures("mongodb_server")
def test_status_and_sync_say_what_is_done_and_what_comes_next(root):
    options = ("-w", root, "--dataset", "tests-cli")
    first = run("status", *options)
    assert "There is no data set tests-cli in FiftyOne yet; 4 images would be in it." in first.stdout
    assert f"Next: pixelsieve explore sync -w {root}" in first.stdout
    assert "tests-cli has 4 samples: 4 added, 0 changed, 0 removed." in run("sync", *options).stdout
    again = run("status", "-w", root).stdout  # The name is remembered.
    assert "tests-cli has 4 samples; a sync adds 0, changes 0 and removes 0." in again
    assert f"Next: pixelsieve explore open -w {root}" in again


@pytest.mark.usefixtures("mongodb_server")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("open", "--host", "0.0.0.0"), "refusing to open FiftyOne on 0.0.0.0"),
        (("open", "--dataset", "tests-none"), "there is no FiftyOne data set 'tests-none' yet; make it with"),
        (("sync", "--dataset", "../x"), "'../x' cannot name a data set"),
        (("sync", "--reviewer-url", "javascript:alert(1)"), "'javascript:alert(1)' is no address"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(root, command, said):
    result = run(*command, "-w", root)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert not (root / "explore").exists()


@pytest.mark.parametrize("kind", JobKind)
def test_every_kind_of_job_has_arguments_and_somebody_who_does_it(kind):
    assert issubclass(ARGUMENTS[kind], JobArguments)
    assert callable(jobs.work_of_kind(kind))
