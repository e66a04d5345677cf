"""Snapshots: made before what changes much, cheap, forgotten by a rule, and a way back to exactly what was."""

import hashlib
import json
import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.roles import Actor, Role
from app.domain.snapshots import NEWEST, WEEKS, kept_snapshots
from app.domain.states import DecisionKind, JobKind, JobState
from app.services import snapshots as snapshots_module
from app.services.audit import AuditFilter, list_entries
from app.services.processes import Monitor, WorkCancelledError
from app.services.review_types import ReviewError
from app.services.round_steps import RoundRequest, train_round
from app.services.saved_content import hash_rows
from app.services.snapshot_restoring import restore_snapshot
from app.services.snapshots import forget_files, list_snapshots, read_snapshot, take_snapshot
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import open_store
from app.storage.models import Decision, Job
from app.storage.people import Account
from app.storage.replacing import EMPTIED_TABLES, KEPT_TABLES
from datasets.files import write_atomically
from tests.unit.made_workspace import (
    Reviewer,
    changing_statement,
    copy_store,
    make_template,
    raw_connection,
)
from tests.unit.round_cases import FakeCommands, import_pictures, write_dataset

pytestmark = pytest.mark.usefixtures("each_database")

LEE = Actor("lee", Role.LEAD)


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(reviewable, tmp_path):
    worker = Reviewer(copy_store(reviewable, tmp_path))
    worker.decide(DecisionKind.RELABEL, worker.region(), class_id=2)
    return worker


@pytest.fixture
def workspace(ann):
    return ann.store.workspace


def work_rows(store):
    with store.reader() as session:
        found = hash_rows(session.connection())
    return {name: saved for name, saved in found.items() if name not in KEPT_TABLES | EMPTIED_TABLES}


def work_files(workspace):
    return {
        path.relative_to(workspace.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("images", "labels", "proposals")
        for path in sorted((workspace.root / folder).rglob("*"))
        if path.is_file()
    }


def test_going_back_gives_equal_rows_and_files(ann, workspace, tmp_path):
    rows, files, state = work_rows(ann.store), work_files(workspace), ann.state(4)
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    ann.undo()
    ann.decide(DecisionKind.VOID, ann.region())
    lost = next((workspace.root / "labels").iterdir())
    lost.unlink()
    changed = next((workspace.root / "images").rglob("*.png"))
    write_atomically(changed, b"other")
    restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    assert work_rows(ann.store) == rows
    assert work_files(workspace) == files
    assert ann.state(4) == state


def test_going_back_can_be_undone(ann, workspace):
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    ann.decide(DecisionKind.VOID, ann.region())
    rows = work_rows(ann.store)
    before = restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    assert work_rows(ann.store) != rows
    assert (before.reason, before.made_by) == ("restore", "lee")
    restore_snapshot(ann.store, before.number, LEE, Monitor())
    assert work_rows(ann.store) == rows


def test_decisions_are_append_only_again_after_going_back(ann, workspace):
    restore_snapshot(ann.store, take_snapshot(ann.store, "asked for", "lee").number, LEE, Monitor())
    for kind in ("update", "delete", "replace"):
        with raw_connection(workspace) as connection, pytest.raises(IntegrityError, match="append-only"):
            connection.exec_driver_sql(changing_statement(kind, "decision", "user", connection.dialect.name))


def test_ids_are_never_given_twice_so_what_a_page_saw_before_is_refused(ann):
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    seen = ann.decide(DecisionKind.VOID, ann.region())
    view = ann.region()
    restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    with pytest.raises(ReviewError, match="reload the page"):
        ann.decide(DecisionKind.ACCEPT, view, version=seen.image_version)
    ben = Reviewer(ann.store, "ben", "tab-9")
    assert ben.decide(DecisionKind.VOID, ben.region()).image_version > seen.image_version


def test_people_jobs_and_the_audit_log_do_not_go_back(ann):
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    with ann.store.session() as session:
        session.add(Account(name="eve", role=Role.ANNOTATOR))
        session.add(Job(kind=JobKind.PREDICT, state=JobState.SUCCEEDED, arguments={}))
    restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    with ann.store.reader() as session:
        assert session.scalars(select(Account.name)).all() == ["eve"]
        assert session.scalars(select(Job.kind)).all() == [JobKind.PREDICT]
    (entry,) = list_entries(ann.store, AuditFilter(action=AuditAction.BACKUP_RESTORED), 5)
    assert (entry.actor, entry.target, entry.details) == ("lee", f"snapshot {snapshot.number}", {"before": 2})


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_nobody_goes_back_under_a_job(ann, state):
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    with ann.store.session() as session:
        session.add(Job(kind=JobKind.PREDICT, state=state, arguments={}))
    rows = work_rows(ann.store)
    with pytest.raises(ValueError, match="job 1 waits or runs"):
        restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    assert work_rows(ann.store) == rows
    assert len(list_snapshots(ann.store.workspace)) == 1


def test_a_damaged_snapshot_changes_nothing(ann, workspace):
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    path = workspace.snapshots / "0001" / "snapshot.json"
    content = json.loads(path.read_text())
    content["manifest"]["tables"]["decision"]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    rows = work_rows(ann.store)
    with pytest.raises(ValueError, match="snapshot 1 is damaged: table decision"):
        restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    assert work_rows(ann.store) == rows


def test_a_kept_file_that_was_lost_changes_nothing(ann, workspace):
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    image = next((workspace.root / "images").rglob("*.png"))
    image.unlink()
    shutil.rmtree(workspace.snapshots / "objects" / image.name[:2])
    ann.decide(DecisionKind.VOID, ann.region())
    rows = work_rows(ann.store)
    with pytest.raises(ValueError, match="is missing or damaged"):
        restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    assert work_rows(ann.store) == rows


def test_an_unknown_snapshot_is_a_lookup_error_that_names_the_others(ann, workspace):
    take_snapshot(ann.store, "asked for", "lee")
    with pytest.raises(LookupError, match=r"there is no snapshot 7.*snapshots: 1"):
        read_snapshot(workspace, 7)


def test_a_snapshot_costs_no_second_copy_of_the_pictures(ann, workspace):
    take_snapshot(ann.store, "asked for", "lee")
    images = sorted((workspace.root / "images").rglob("*.png"))
    assert all(os.stat(image).st_nlink == 2 for image in images)
    take_snapshot(ann.store, "asked for", "lee")
    assert all(os.stat(image).st_nlink == 2 for image in images)


def test_files_that_did_not_change_are_not_read_again(ann, workspace, monkeypatch):
    take_snapshot(ann.store, "asked for", "lee")
    read = []
    monkeypatch.setattr("app.storage.objects.sha256_of", lambda path: read.append(path) or "f" * 64)
    take_snapshot(ann.store, "asked for", "lee")
    assert read == []


def test_without_hard_links_files_are_copied(ann, workspace, monkeypatch):
    def no_links(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    image = next((workspace.root / "images").rglob("*.png"))
    assert os.stat(image).st_nlink == 1
    files = work_files(workspace)
    image.unlink()
    restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    assert work_files(workspace) == files


def test_a_file_that_is_appended_to_is_copied(ann, workspace):
    log = workspace.rounds / "001" / "round.log"
    log.parent.mkdir(parents=True)
    log.write_text("first line\n")
    snapshot = take_snapshot(ann.store, "asked for", "lee")
    with log.open("a") as file:
        file.write("second line\n")
    restore_snapshot(ann.store, snapshot.number, LEE, Monitor())
    assert log.read_text() == "first line\n"


def test_a_snapshot_is_taken_before_every_import_but_the_first_and_before_every_round(tmp_path):
    import_pictures(tmp_path / "source", tmp_path / "workspace")
    store = open_store(Workspace(tmp_path / "workspace"))
    assert list_snapshots(store.workspace) == []
    rows = work_rows(store)
    write_dataset(tmp_path / "more", {"train": ["a", "b", "c", "g1", "g2", "new"]})
    run_import(store, plan_import(ImportSource(tmp_path / "more", "folder", gold_share=0)), lambda progress: None)
    train_round(store, store.workspace, RoundRequest(), Monitor(), FakeCommands(tmp_path / "started"))
    found = [(snapshot.reason, snapshot.manifest.tables["image"].rows) for snapshot in list_snapshots(store.workspace)]
    assert found == [("round", 6), ("import", 5)]
    restore_snapshot(store, 1, LEE, Monitor())
    assert work_rows(store) == rows


def test_the_newest_snapshots_stay_and_older_ones_go_with_what_only_they_kept(ann, workspace, tmp_path):
    for number in range(NEWEST + 3):
        (workspace.root / "notes.txt").write_text(f"state {number}")
        take_snapshot(ann.store, "asked for", "lee")
    assert [snapshot.number for snapshot in list_snapshots(workspace)] == list(range(NEWEST + 3, 3, -1))
    kept = {
        path.read_text()
        for path in (workspace.snapshots / "objects").glob("??/*")
        if path.read_bytes().startswith(b"state")
    }
    assert kept == {f"state {number}" for number in range(3, NEWEST + 3)}


def test_the_rule_keeps_the_newest_and_one_of_each_week():
    start = datetime(2026, 1, 5, tzinfo=UTC)  # A Monday.
    made = {number: start + timedelta(days=number) for number in range(1, 101)}
    kept = kept_snapshots(made)
    assert {*range(91, 101)} <= kept
    weeks = {made[number].isocalendar()[:2] for number in kept}
    assert len(weeks) == WEEKS
    for number in kept - {*range(91, 101)}:
        assert made[number].weekday() == 6  # The last of its week.


def test_a_clock_that_went_back_removes_no_new_snapshot():
    now = datetime(2026, 7, 1, tzinfo=UTC)
    made = {number: now - timedelta(days=400 * number) for number in range(1, 13)}
    assert {*range(3, 13)} <= kept_snapshots(made)


def test_a_full_disk_leaves_no_half_snapshot(ann, workspace, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshots_module, "_keep_files", full)
    with pytest.raises(OSError, match="No space left"):
        take_snapshot(ann.store, "asked for", "lee")
    assert list_snapshots(workspace) == []
    assert [path.name for path in workspace.snapshots.iterdir()] == ["lock"]


def test_a_stopped_snapshot_leaves_nothing(ann, workspace):
    with pytest.raises(WorkCancelledError):
        take_snapshot(ann.store, "asked for", "lee", Monitor(should_cancel=lambda: True))
    assert list_snapshots(workspace) == []


def test_a_forgotten_file_is_in_no_snapshot(ann, workspace):
    take_snapshot(ann.store, "asked for", "lee")
    image = next((workspace.root / "images").rglob("*.png"))
    name = image.relative_to(workspace.root).as_posix()
    forget_files(workspace, [name])
    assert name not in read_snapshot(workspace, 1).manifest.files
    assert not (workspace.snapshots / "objects" / image.name[:2] / image.stem).exists()
    with ann.store.reader() as session:
        assert session.scalars(select(Decision.id)).all() != []
