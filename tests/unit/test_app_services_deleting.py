"""Deleted images are out of everything and nothing of them is lost, until somebody removes their files for good."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.domain.audit import AuditAction
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageRole
from app.services.assigning import list_image_work
from app.services.audit import AuditFilter, list_entries
from app.services.backups import write_backup
from app.services.coco_export import export_coco
from app.services.deleting import delete_images, list_deleted, purge_images, undelete_images
from app.services.gold import gold_images
from app.services.importing import import_dataset
from app.services.labels import training_entries
from app.services.processes import Monitor
from app.services.proposals import store_proposal
from app.services.review_types import NotFoundError, QueueFilter, ReviewError
from app.services.snapshots import read_snapshot, take_snapshot
from app.services.workspaces import count_roles
from app.storage.errors import StoreError
from app.storage.kept_files import files_in_use
from app.storage.models import Decision, Image, utc_now
from tests.unit.made_workspace import Reviewer, copy_store, make_dataset, make_prediction, make_template

pytestmark = pytest.mark.usefixtures("each_database")

LEE = Actor("lee", Role.LEAD)


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(reviewable, tmp_path):
    """Ann has relabeled one region of each pool image."""
    worker = Reviewer(copy_store(reviewable, tmp_path))
    for name in ("pool_0", "pool_1"):
        row = worker.service.queue(QueueFilter(image_id=image_id(worker.store, name)), limit=1)[0]
        worker.decide(DecisionKind.RELABEL, worker.service.region(row.region_id), class_id=2)
    return worker


def image_id(store, name):
    with store.reader() as session:
        return session.scalars(select(Image.id).where(Image.sample_id == name)).one()


def long_ago(store, name, days=40):
    with store.session() as session:
        past = utc_now() - timedelta(days=days)
        session.execute(update(Image).where(Image.sample_id == name).values(deleted_at=past))


def seen(ann, tmp_path):
    """Everything that people, training and exports see, without file names that change."""
    store = ann.store
    pixels = [ann.service.image_planes(image_id(store, name)) for name in ("pool_0", "pool_1")]
    entries = training_entries(store, tmp_path / "frozen", pseudo=True)
    return (
        ann.service.counts(), ann.service.queue(QueueFilter(), limit=500), count_roles(store), list_image_work(store),
        [(entry.sample_id, entry.image_sha256) for entry in entries],
        [(plane.label.tobytes(), plane.provenance.tobytes()) for plane in pixels],
    )  # fmt: skip


def test_a_deleted_image_is_in_no_queue_count_training_or_export(ann, tmp_path):
    before = ann.service.counts()
    of_image = ann.service.queue(QueueFilter(image_id=image_id(ann.store, "pool_0")), limit=500)
    assert delete_images(ann.store, LEE, ["pool_0", "labeled_0", "gold_0"]) == 3
    after = ann.service.counts()
    assert after.open == before.open - len(of_image)
    assert after.decided == before.decided - 1
    assert {row.sample_id for row in ann.service.queue(QueueFilter(), limit=500)} == {"pool_1"}
    assert count_roles(ann.store) == {ImageRole.LABELED: 1, ImageRole.POOL: 1, ImageRole.GOLD: 0}
    assert [work.sample_id for work in list_image_work(ann.store)] == ["pool_1"]
    assert gold_images(ann.store) == []
    entries = training_entries(ann.store, tmp_path / "frozen", pseudo=True)
    assert [entry.sample_id for entry in entries] == ["labeled_1", "pool_1"]
    assert export_coco(ann.store, tmp_path / "coco", "all").images == 2


def test_nobody_decides_about_a_deleted_image(ann):
    view = ann.region()
    delete_images(ann.store, LEE, [view.row.sample_id])
    with pytest.raises(NotFoundError, match="there is no image"):
        ann.decide(DecisionKind.ACCEPT, view, version=0)


def test_undelete_restores_everything(ann, tmp_path):
    before = seen(ann, tmp_path)
    with ann.store.reader() as session:
        log = session.scalars(select(Decision.op_id).order_by(Decision.id)).all()
    delete_images(ann.store, LEE, ["pool_0"])
    assert undelete_images(ann.store, LEE, ["pool_0", "pool_1"]) == 1
    assert seen(ann, tmp_path) == before
    with ann.store.reader() as session:
        assert session.scalars(select(Decision.op_id).order_by(Decision.id)).all() == log


def test_undo_leaves_deleted_images_alone(ann):
    """Nobody would see what happens: the last action about an image that is there is taken back instead."""
    delete_images(ann.store, LEE, ["pool_1"])
    assert ann.undo().image_id == image_id(ann.store, "pool_0")
    undelete_images(ann.store, LEE, ["pool_1"])
    assert ann.undo().image_id == image_id(ann.store, "pool_1")


def test_a_name_that_no_image_has_changes_nothing(ann):
    with pytest.raises(NotFoundError, match="there is no image 'nothing'"):
        delete_images(ann.store, LEE, ["pool_0", "nothing"])
    assert list_deleted(ann.store) == []


def test_deleting_twice_counts_once(ann):
    assert (delete_images(ann.store, LEE, ["pool_0"]), delete_images(ann.store, LEE, ["pool_0"])) == (1, 0)


def test_who_deleted_brought_back_and_purged_what_is_in_the_audit_log(ann):
    delete_images(ann.store, LEE, ["pool_0"])
    undelete_images(ann.store, LEE, ["pool_0"])
    delete_images(ann.store, LEE, ["pool_0"])
    long_ago(ann.store, "pool_0")
    purge_images(ann.store, Actor("mia", Role.LEAD), 30)
    logged = [(row.actor, row.action, row.target) for row in list_entries(ann.store, AuditFilter(target="pool_0"), 9)]
    expected = [("mia", AuditAction.PURGED), ("lee", AuditAction.DELETED), ("lee", AuditAction.RESTORED)]
    assert logged[:3] == [(who, action.value, "image pool_0") for who, action in expected]


def test_only_what_was_deleted_long_ago_is_purged(ann):
    delete_images(ann.store, LEE, ["pool_0", "pool_1"])
    long_ago(ann.store, "pool_0", days=31)
    long_ago(ann.store, "pool_1", days=29)
    assert purge_images(ann.store, LEE, 30) == ["pool_0"]
    assert [image.sample_id for image in list_deleted(ann.store) if image.purged_at is None] == ["pool_1"]


def test_what_is_not_deleted_is_never_purged(ann):
    assert purge_images(ann.store, LEE, 1) == []


def test_nothing_is_purged_on_the_day_it_was_deleted(ann):
    delete_images(ann.store, LEE, ["pool_0"])
    with pytest.raises(ReviewError, match="at least 1 day ago"):
        purge_images(ann.store, LEE, 0)


@pytest.fixture
def purged(ann):
    """A workspace with a snapshot, after which pool_0 and labeled_0 were purged."""
    take_snapshot(ann.store, "asked for", "lee")
    delete_images(ann.store, LEE, ["pool_0", "labeled_0"])
    for name in ("pool_0", "labeled_0"):
        long_ago(ann.store, name)
    assert purge_images(ann.store, LEE, 30) == ["labeled_0", "pool_0"]
    return ann


def files_naming(workspace, sha256):
    return [
        path
        for path in workspace.root.rglob("*")
        if path.is_file() and sha256[:16] in str(path.relative_to(workspace.root))
    ]


def test_a_purged_picture_is_nowhere_in_the_workspace(purged):
    workspace = purged.store.workspace
    with purged.store.reader() as session:
        gone = {image.sample_id: image for image in session.scalars(select(Image).where(Image.purged_at.is_not(None)))}
    for image in gone.values():
        assert files_naming(workspace, image.sha256) == []
        assert image.path not in read_snapshot(workspace, 1).manifest.files
    assert purged.service.counts().open > 0


def test_decisions_about_a_purged_image_stay_in_the_log(purged):
    with purged.store.reader() as session:
        assert len(session.scalars(select(Decision.id)).all()) == 2


def test_a_purged_image_cannot_be_undeleted(purged):
    with pytest.raises(ReviewError, match="were removed for good on .* import the picture again"):
        undelete_images(purged.store, LEE, ["pool_0"])


def test_a_purged_image_is_no_problem_of_a_backup(purged, tmp_path):
    assert write_backup(purged.store, tmp_path / "saved.zip", LEE, Monitor()).problems == ()


def test_a_purged_image_that_is_imported_again_has_its_decisions(purged, tmp_path):
    dataset = make_dataset(tmp_path / "again", ("labeled_0", "labeled_1", "gold_0"), ("pool_0", "pool_1"))
    report = import_dataset(purged.store, dataset, {"labeled_0", "labeled_1"}, {"gold_0"})
    assert report.num_added == 2 and report.refused == ()
    back = image_id(purged.store, "pool_0")
    assert purged.service.image(back).state == "waiting"
    store_proposal(purged.store, back, 1, make_prediction(0))
    planes = purged.service.image_planes(back)
    assert set(planes.label[planes.provenance == 1]) == {2}


def test_a_deleted_image_that_is_imported_again_is_refused_with_the_way_back(ann, tmp_path):
    delete_images(ann.store, LEE, ["pool_0"])
    dataset = make_dataset(tmp_path / "again", ("labeled_0", "labeled_1", "gold_0"), ("pool_0", "pool_1"))
    report = import_dataset(ann.store, dataset, {"labeled_0", "labeled_1"}, {"gold_0"})
    (refusal,) = report.refused
    assert "pixelsieve images undelete 'pool_0'" in refusal.reason
    assert report.unchanged == 4


def test_an_interrupted_purge_is_finished_by_the_next_one(ann, monkeypatch):
    delete_images(ann.store, LEE, ["pool_0"])
    long_ago(ann.store, "pool_0")
    with monkeypatch.context() as patch:
        patch.setattr("app.services.deleting.forget_files", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(OSError, match="I/O error"):
            purge_images(ann.store, LEE, 30)
    with ann.store.reader() as session:
        image = session.scalars(select(Image).where(Image.sample_id == "pool_0")).one()
    assert files_naming(ann.store.workspace, image.sha256) != []
    assert purge_images(ann.store, LEE, 30) == []
    assert files_naming(ann.store.workspace, image.sha256) == []


def test_nothing_is_purged_while_a_backup_is_made(ann):
    delete_images(ann.store, LEE, ["pool_0"])
    long_ago(ann.store, "pool_0")
    with files_in_use(ann.store.workspace), pytest.raises(StoreError, match="Wait for it"):
        purge_images(ann.store, LEE, 30)
    assert [image.purged_at for image in list_deleted(ann.store)] == [None]
