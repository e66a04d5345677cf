"""A clock that is set back or forward changes no order and ends nobody's work: order is by id, never by time."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind
from app.services.audit import AuditFilter, list_entries
from app.services.comments import add_comment, image_comments
from app.services.deleting import delete_images, list_deleted, purge_images
from app.services.review_types import ConflictError
from app.services.snapshots import list_snapshots, take_snapshot
from app.storage import models
from app.storage.models import Decision
from tests.unit.made_workspace import Reviewer, copy_store, make_template

pytestmark = pytest.mark.usefixtures("each_database")

LEE = Actor("lee", Role.LEAD)


class Clock:
    """Stands for the class `datetime` in storage.models, whose `utc_now` everything stored gets its time from."""

    def __init__(self):
        self.offset = timedelta(0)

    def now(self, zone):
        return datetime.now(zone) + self.offset


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(models, "datetime", made)
    return made


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def created(store):
    with store.reader() as session:
        return list(session.scalars(select(Decision.created_at).order_by(Decision.id)))


def test_the_later_decision_wins_although_its_time_is_earlier(ann, clock):
    view = ann.region()
    ann.decide(DecisionKind.RELABEL, view, class_id=0)
    clock.offset = -timedelta(days=3)
    ann.decide(DecisionKind.RELABEL, view, class_id=2)
    times = created(ann.store)
    assert times[1] < times[0]
    planes = ann.service.image_planes(view.row.image_id)
    assert set(planes.label[planes.region_map == view.row.number]) == {2}
    ann.undo()
    planes = ann.service.image_planes(view.row.image_id)
    assert set(planes.label[planes.region_map == view.row.number]) == {0}


def test_an_undo_takes_back_what_was_done_last_although_its_time_is_earlier(ann, clock):
    first = ann.decide(DecisionKind.SKIP, ann.region())
    clock.offset = -timedelta(days=3)
    second = ann.decide(DecisionKind.SKIP, ann.region())
    assert ann.undo().undone_op_id == second.op_id
    assert ann.undo().undone_op_id == first.op_id


def test_a_conflict_is_seen_although_the_other_decision_seems_older(ann, clock):
    view = ann.region()
    clock.offset = -timedelta(days=3)
    Reviewer(ann.store, "ben", "tab-2").decide(DecisionKind.VOID, view)
    clock.offset = timedelta(0)
    with pytest.raises(ConflictError, match="ben changed this region"):
        ann.decide(DecisionKind.ACCEPT, view, version=view.image_version)


def test_logs_comments_and_snapshots_stay_in_the_order_in_which_they_were_made(ann, clock):
    image = ann.region().row.image_id
    for number in range(3):
        add_comment(ann.store, "ann", f"comment {number}", image)
        take_snapshot(ann.store, f"state {number}", "lee")
        delete_images(ann.store, LEE, [("labeled_0", "labeled_1", "gold_0")[number]])
        clock.offset -= timedelta(days=1)
    assert [comment.text for comment in image_comments(ann.store, image)] == [f"comment {n}" for n in range(3)]
    assert [snapshot.reason for snapshot in list_snapshots(ann.store.workspace)] == ["state 2", "state 1", "state 0"]
    targets = [entry.target for entry in list_entries(ann.store, AuditFilter(), 3)]
    assert targets == ["image gold_0", "image labeled_1", "image labeled_0"]


def test_what_was_deleted_by_a_clock_ahead_is_not_purged_early(ann, clock):
    clock.offset = timedelta(days=100)
    delete_images(ann.store, LEE, ["pool_0"])
    clock.offset = timedelta(0)
    assert purge_images(ann.store, LEE, 30) == []
    assert [image.purged_at for image in list_deleted(ann.store)] == [None]
