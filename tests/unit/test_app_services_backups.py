"""Must never happen: backup, wipe, restore gives other hashes."""

import hashlib
import json
import shutil
import threading

import pytest
from sqlalchemy import select, update

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, JobKind, JobState
from app.services import archives, backup_restoring, backups
from app.services.archives import open_archive
from app.services.audit import AuditFilter, list_entries
from app.services.backup_restoring import check_backup, restore_backup
from app.services.backups import write_backup
from app.services.coco_export import export_coco
from app.services.labels import label_state
from app.services.processes import Monitor, WorkCancelledError
from app.services.reviewing import ReviewService
from app.services.round_folder import RoundFolder, RoundPlan, RoundState, only_round
from app.services.saved_content import hash_rows
from app.storage.database import open_store
from app.storage.errors import StoreError
from app.storage.kept_files import files_alone
from app.storage.location import DATABASE_URL_VARIABLE
from app.storage.models import Decision, Image, Job, utc_now
from app.storage.people import Account, SignIn
from tests.unit.made_workspace import Reviewer, copy_store, make_template

LEE = Actor("lee", Role.LEAD)
RESTORING_CHANGES = {"audit_entry", "job", "sign_in"}


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(reviewable, tmp_path):
    """Ann, after relabels, an undo and a redo."""
    worker = Reviewer(copy_store(reviewable, tmp_path))
    for kind, fields in ((DecisionKind.RELABEL, {"class_id": 2}), (DecisionKind.VOID, {}), (DecisionKind.ACCEPT, {})):
        worker.decide(kind, worker.region(), **fields)
    worker.undo()
    worker.redo()
    worker.undo()
    return worker


def files_of(workspace):
    return {
        path.relative_to(workspace.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("images", "labels", "proposals", "rounds")
        for path in sorted((workspace.root / folder).rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def everything_of(store):
    """Hashes of all rows, of labels and provenance of every image, and of all files."""
    with store.reader() as session:
        rows = {name: saved for name, saved in hash_rows(session.connection()).items() if name not in RESTORING_CHANGES}
        states = {image.sample_id: label_state(store, session, image) for image in session.scalars(select(Image))}
    labels = {
        name: hashlib.sha256(state.label.tobytes() + state.provenance.tobytes()).hexdigest()
        for name, state in states.items()
        if state is not None
    }
    return rows, labels, files_of(store.workspace)


@pytest.mark.usefixtures("each_database")
def test_backup_wipe_and_restore_gives_equal_hashes_of_labels_decisions_provenance_and_files(
    ann, tmp_path, each_database, postgresql_server, monkeypatch
):
    before = everything_of(ann.store)
    saved = write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    ann.store.close()
    shutil.rmtree(ann.store.workspace.root)
    if each_database == "postgresql":
        monkeypatch.setenv(DATABASE_URL_VARIABLE, postgresql_server.new_database(is_empty=True))
    restored = restore_backup(tmp_path / "saved.zip", ann.store.workspace, None, LEE, Monitor())
    store = open_store(ann.store.workspace)
    assert everything_of(store) == before
    assert (restored.rows_sha256, restored.files_sha256) == (saved.rows_sha256, saved.files_sha256)
    assert store.workspace_id == ann.store.workspace_id


def test_rows_move_to_postgresql_and_back_unchanged(ann, tmp_path, postgresql_server, monkeypatch):
    monkeypatch.delenv(DATABASE_URL_VARIABLE, raising=False)
    before = everything_of(ann.store)
    write_backup(ann.store, tmp_path / "from_sqlite.zip", LEE, Monitor())
    there = Workspace(tmp_path / "there")
    url = postgresql_server.new_database(is_empty=True)
    restore_backup(tmp_path / "from_sqlite.zip", there, url, LEE, Monitor())
    in_postgresql = open_store(there)
    assert "postgresql" in in_postgresql.database_name
    assert everything_of(in_postgresql) == before
    write_backup(in_postgresql, tmp_path / "from_postgresql.zip", LEE, Monitor())
    restore_backup(tmp_path / "from_postgresql.zip", Workspace(tmp_path / "back"), None, LEE, Monitor())
    back = open_store(Workspace(tmp_path / "back"))
    assert back.workspace.database.is_file()
    assert everything_of(back) == before


@pytest.mark.usefixtures("each_database")
def test_people_go_on_where_they_were_after_restoring(ann, tmp_path, each_database, postgresql_server):
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    url = postgresql_server.new_database(is_empty=True) if each_database == "postgresql" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(DATABASE_URL_VARIABLE, raising=False)
        restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "new"), url, LEE, Monitor())
        store = open_store(Workspace(tmp_path / "new"))
    going_on = Reviewer(store, session="tab-2")
    going_on.redo()
    going_on.decide(DecisionKind.ACCEPT, going_on.region())
    with store.reader() as session:
        ids = list(session.scalars(select(Decision.id).order_by(Decision.id)))
    assert ids == sorted(set(ids)) and len(ids) == 8


def test_what_was_acknowledged_before_a_backup_began_is_in_it_while_people_go_on_deciding(ann, tmp_path, monkeypatch):
    monkeypatch.delenv(DATABASE_URL_VARIABLE, raising=False)
    stop = threading.Event()
    acknowledged = []

    def decide_on():
        service, number = ReviewService(open_store(ann.store.workspace)), 0
        while not stop.is_set():
            result = (
                service.undo("ann", "tab-1", f"while-{number}")
                if number % 2
                else service.redo("ann", "tab-1", f"while-{number}")
            )
            acknowledged.append(result.op_id)
            number += 1

    thread = threading.Thread(target=decide_on)
    thread.start()
    while len(acknowledged) < 5:
        stop.wait(0.01)
    known = list(acknowledged)
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    stop.set()
    thread.join()
    restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "new"), None, LEE, Monitor())
    store = open_store(Workspace(tmp_path / "new"))
    with store.reader() as session:
        stored = list(session.scalars(select(Decision.op_id).order_by(Decision.id)))
    in_order = [op_id for op_id in stored if op_id.startswith("while-")]
    assert set(known) <= set(in_order)
    assert in_order == acknowledged[: len(in_order)]


def test_a_restored_workspace_exports_the_same_masks(ann, tmp_path):
    export_coco(ann.store, tmp_path / "before", "all")
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "new"), None, LEE, Monitor())
    export_coco(open_store(Workspace(tmp_path / "new")), tmp_path / "after", "all")
    for name in ("annotations.json", "manifest.json"):
        assert (tmp_path / "before" / name).read_bytes() == (tmp_path / "after" / name).read_bytes()


def test_a_backup_is_for_its_owners_eyes_only(ann, tmp_path):
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    assert (tmp_path / "saved.zip").stat().st_mode & 0o777 == 0o600


def test_backup_and_restoring_are_in_the_audit_log(ann, tmp_path):
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "new"), None, LEE, Monitor())
    store = open_store(Workspace(tmp_path / "new"))
    for logged, action in ((ann.store, AuditAction.BACKUP), (store, AuditAction.BACKUP_RESTORED)):
        assert [(row.actor, row.target) for row in list_entries(logged, AuditFilter(action=action), 5)] == [
            ("lee", "saved.zip")
        ]


def test_nobody_stays_signed_in_and_no_job_starts_by_itself_in_a_restored_workspace(ann, tmp_path):
    with ann.store.session() as session:
        session.add(Account(id=1, name="ann", role=Role.ANNOTATOR, password_hash=None))
        session.flush()
        session.add(SignIn(account_id=1, token_hash="t", created_at=utc_now(), seen_at=utc_now(), address="", agent=""))
        for state in (JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED):
            session.add(Job(kind=JobKind.TRAIN, state=state, arguments={}))
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "new"), None, LEE, Monitor())
    with open_store(Workspace(tmp_path / "new")).reader() as session:
        assert session.scalars(select(SignIn.ended_at)).one() is not None
        assert session.scalars(select(Job.state).order_by(Job.id)).all() == ["cancelled", "cancelled", "succeeded"]


def test_files_that_are_missing_or_damaged_already_are_named(ann, tmp_path):
    with ann.store.reader() as session:
        first, second = session.scalars(select(Image).order_by(Image.id)).all()[:2]
    ann.store.workspace.absolute(first.path).unlink()
    ann.store.workspace.absolute(second.path).write_bytes(b"other bytes")
    report = write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    assert f"{first.path} of image {first.sample_id} is missing" in report.problems
    assert any(
        sentence.startswith(f"{second.path} of image {second.sample_id} is damaged") for sentence in report.problems
    )
    restored = restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "new"), None, LEE, Monitor())
    assert restored.problems == report.problems


def test_a_round_in_training_is_left_out_and_a_finished_one_is_not(ann, tmp_path):
    plan = RoundPlan("debug", {}, None, True, "v")
    for number, state in (("001", RoundState.REGISTERED), ("002", RoundState.TRAINING)):
        folder = RoundFolder(ann.store.workspace.rounds / number)
        folder.path.mkdir(parents=True)
        folder.write(plan, state)
    with only_round(ann.store.workspace):
        report = write_backup(ann.store, tmp_path / "during.zip", LEE, Monitor())
    write_backup(ann.store, tmp_path / "after.zip", LEE, Monitor())
    assert "002 is being trained now, so its folder was left out" in report.problems
    for name, expected in (
        ("during.zip", {"rounds/001/round.json"}),
        ("after.zip", {f"rounds/00{n}/round.json" for n in (1, 2)}),
    ):
        with open_archive(tmp_path / name) as archive:
            assert {file for file in archive.manifest.files if file.startswith("rounds/")} == expected


def test_what_belongs_to_the_place_or_can_be_made_again_is_not_in_a_backup(ann, tmp_path):
    export_coco(ann.store, ann.store.workspace.exports / "coco", "all")
    (ann.store.workspace.root / "worker.lock").touch()
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    with open_archive(tmp_path / "saved.zip") as archive:
        assert {file.partition("/")[0] for file in archive.manifest.files} == {"images", "labels", "proposals"}


def test_an_existing_file_is_not_overwritten_by_a_backup(ann, tmp_path):
    (tmp_path / "saved.zip").write_text("precious")
    with pytest.raises(FileExistsError, match="saved.zip exists and is not overwritten"):
        write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    assert (tmp_path / "saved.zip").read_text() == "precious"


def test_a_folder_that_holds_something_is_not_overwritten_by_restoring(ann, tmp_path):
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    before = everything_of(ann.store)
    with pytest.raises(FileExistsError, match="is not empty and is not overwritten"):
        restore_backup(tmp_path / "saved.zip", ann.store.workspace, None, LEE, Monitor())
    assert everything_of(ann.store) == before


def test_a_database_that_holds_something_is_not_overwritten_by_restoring(ann, tmp_path, postgresql_server):
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    url = postgresql_server.new_database()
    with pytest.raises(StoreError, match="holds tables already; name an empty database"):
        restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "new"), url, LEE, Monitor())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved.zip", "workspace"]


def stop_at(share):
    """A monitor whose work is stopped when this share of it is done."""
    reached = threading.Event()

    def note(progress):
        if progress.done >= share * progress.total:
            reached.set()

    return Monitor(note, reached.is_set)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.9])
def test_a_stopped_backup_leaves_nothing_behind(ann, tmp_path, share):
    with pytest.raises(WorkCancelledError):
        write_backup(ann.store, tmp_path / "to" / "saved.zip", LEE, stop_at(share))
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_stopped_restoring_leaves_nothing_behind(ann, tmp_path, share):
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    with pytest.raises(WorkCancelledError):
        restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "to" / "new"), None, LEE, stop_at(share))
    assert list((tmp_path / "to").iterdir()) == []


def test_a_full_disk_leaves_no_half_backup(ann, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backups, "_write_file", full)
    with pytest.raises(OSError, match="No space left"):
        write_backup(ann.store, tmp_path / "to" / "saved.zip", LEE, Monitor())
    assert list((tmp_path / "to").iterdir()) == []


def test_restoring_says_before_it_writes_when_the_disk_is_too_small(ann, tmp_path, monkeypatch):
    write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    monkeypatch.setattr(backup_restoring.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(OSError, match="needs about .* bytes, but only 10 are free"):
        restore_backup(tmp_path / "saved.zip", Workspace(tmp_path / "to" / "new"), None, LEE, Monitor())


def test_a_backup_that_was_written_wrongly_is_noticed_at_once(ann, tmp_path, monkeypatch):
    def wrong(archive, name, path):
        saved = write_file(archive, name, path)
        return saved.model_copy(update={"sha256": "0" * 64})

    write_file = backups._write_file
    monkeypatch.setattr(backups, "_write_file", wrong)
    with pytest.raises(archives.BadArchiveError, match="is damaged"):
        write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    assert not (tmp_path / "saved.zip").exists()


def test_no_backup_is_made_while_files_are_removed(ann, tmp_path):
    with files_alone(ann.store.workspace), pytest.raises(StoreError, match="Wait for it"):
        write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())


def test_checking_a_backup_gives_its_hashes(ann, tmp_path):
    report = write_backup(ann.store, tmp_path / "saved.zip", LEE, Monitor())
    checked = check_backup(tmp_path / "saved.zip", Monitor())
    assert (checked.rows_sha256, checked.files_sha256, checked.rows) == (
        report.rows_sha256,
        report.files_sha256,
        report.rows,
    )


def test_a_row_that_points_outside_of_the_workspace_reads_nothing_there(ann, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    with ann.store.session() as session:
        session.execute(update(Image).values(path="../secret.png").where(Image.id == 1))
    with pytest.raises(ValueError, match="lies outside of the workspace"):
        ReviewService(ann.store).image(1)


def test_the_hashes_say_what_is_equal(ann, tmp_path):
    first = write_backup(ann.store, tmp_path / "first.zip", LEE, Monitor())
    ann.decide(DecisionKind.SKIP, ann.region())
    second = write_backup(ann.store, tmp_path / "second.zip", LEE, Monitor())
    assert first.files_sha256 == second.files_sha256
    assert first.rows_sha256 != second.rows_sha256
    assert json.loads(json.dumps(second.to_json()))["path"] == "second.zip"
