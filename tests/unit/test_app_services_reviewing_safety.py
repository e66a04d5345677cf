"""What must never happen: a locked pixel changes, a decision is lost, done twice or overwritten in silence."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from app.domain.decisions import UNTOUCHED, Delta
from app.domain.states import DecisionKind, RegionState
from app.services.proposals import store_proposal
from app.services.review_types import (
    ConflictError,
    LockedPixelsError,
    NotFoundError,
    QueueFilter,
    ReviewError,
)
from app.storage.models import Decision
from datasets.labels import Provenance
from tests.unit.made_workspace import (
    SIZE_HW,
    Reviewer,
    copy_store,
    make_prediction,
    make_reviewable,
    make_template,
    mask_of,
    pool_ids,
    request,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1", "pool_2"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def test_a_stroke_over_one_locked_pixel_is_refused_as_a_whole(ann):
    view = ann.region()
    before = ann.state(view.row.image_id)
    values = np.full(SIZE_HW, UNTOUCHED, np.uint8)
    values[~ann.service.image_planes(view.row.image_id).reliable] = 1
    values[0, 0] = 1
    with pytest.raises(LockedPixelsError, match="touches 1 locked pixels"):
        ann.draw(view.row.image_id, Delta(0, 0, values))
    assert ann.state(view.row.image_id) == before


def test_unlocking_is_logged_and_lets_the_stroke_through(ann):
    image_id = ann.region().row.image_id
    ann.draw(image_id, Delta(0, 0, np.array([[2]], np.uint8)), lock_override=True)
    planes = ann.service.image_planes(image_id)
    assert (planes.label[0, 0], planes.provenance[0, 0]) == (2, Provenance.HUMAN)
    with ann.store.reader() as session:
        assert session.scalars(select(Decision.lock_override)).all() == [True]


@pytest.fixture(scope="module")
def shared_ann(tmp_path_factory):
    return Reviewer(make_reviewable(tmp_path_factory.mktemp("shared")))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), clipped=st.booleans())
def test_random_strokes_change_no_locked_pixel(shared_ann, seed, clipped):
    rng = np.random.default_rng(seed)
    (image_id,) = pool_ids(shared_ann.store)
    before = shared_ann.service.image_planes(image_id)
    x0, y0 = int(rng.integers(0, 70)), int(rng.integers(0, 50))
    values = rng.choice(np.array([0, 1, 2, 255, 254], np.uint8), (int(rng.integers(1, 11)), int(rng.integers(1, 11))))
    delta = Delta(x0, y0, values)
    if clipped:
        values[before.reliable[delta.rows_columns]] = UNTOUCHED
    allowed = np.any(delta.touched_mask) and not np.any(before.reliable[delta.rows_columns] & delta.touched_mask)
    if allowed:
        shared_ann.draw(image_id, delta)
    else:
        with pytest.raises(ReviewError):
            shared_ann.draw(image_id, delta)
    after = shared_ann.service.image_planes(image_id)
    assert np.array_equal(after.label[before.reliable], before.proposal[before.reliable])
    expected = before.label.copy()
    if allowed:
        np.copyto(expected[delta.rows_columns], values, where=delta.touched_mask)
    assert np.array_equal(after.label, expected)


def test_the_same_operation_sent_again_changes_nothing_and_gives_the_same_answer(ann):
    view = ann.region()
    sent = request(DecisionKind.RELABEL, "once", view.row.image_id, 0, region_id=view.row.region_id, class_id=2)
    first = ann.service.decide(sent)
    second = ann.service.decide(sent)
    with ann.store.reader() as session:
        assert session.scalar(select(func.count()).select_from(Decision)) == 1
    assert second.replayed and not first.replayed
    assert (second.image_version, second.next_region_id, second.counts) == (
        first.image_version, first.next_region_id, first.counts,
    )  # fmt: skip


def test_an_operation_id_used_for_something_else_is_refused(ann):
    view = ann.region()
    ann.service.decide(request(DecisionKind.SKIP, "once", view.row.image_id, 0, region_id=view.row.region_id))
    with pytest.raises(ReviewError, match="'once' was used for another action"):
        ann.service.decide(request(DecisionKind.ACCEPT, "once", view.row.image_id, 0, region_id=view.row.region_id))


@pytest.mark.parametrize(
    ("user", "who"), [("ann", "Another tab of yours"), ("bob", "bob")], ids=["two-tabs", "two-people"]
)
def test_the_later_of_two_decisions_on_one_region_is_refused_with_who_and_when(ann, user, who):
    view = ann.region()
    other = Reviewer(ann.store, user=user, session="tab-2")
    other.decide(DecisionKind.RELABEL, view, class_id=0, version=0)
    before = ann.state(view.row.image_id)
    with pytest.raises(
        ConflictError, match=rf"{who} changed this region or these pixels of \S+ at \d\d:\d\d UTC"
    ) as caught:
        ann.decide(DecisionKind.VOID, view, version=0)
    assert (caught.value.user, caught.value.decided_at is not None) == (user, True)
    assert ann.state(view.row.image_id) == before


def test_a_stroke_over_pixels_somebody_else_just_decided_is_refused(ann):
    view = ann.region()
    Reviewer(ann.store, user="bob", session="tab-b").decide(DecisionKind.ACCEPT, view, version=0)
    row, column = np.argwhere(mask_of(ann.service.image_planes(view.row.image_id), view))[0]
    with pytest.raises(ConflictError, match="bob"):
        ann.draw(view.row.image_id, Delta(int(column), int(row), np.array([[1]], np.uint8)), version=0)


def test_decisions_on_other_regions_of_the_same_image_do_not_conflict(ann):
    first = ann.region()
    rows = ann.service.queue(QueueFilter(image_id=first.row.image_id))
    second = ann.service.region(rows[1].region_id)
    Reviewer(ann.store, user="bob", session="tab-b").decide(DecisionKind.ACCEPT, first, version=0)
    assert ann.decide(DecisionKind.ACCEPT, second, version=0).region_state is RegionState.DECIDED


def test_queued_actions_of_one_tab_never_conflict_with_each_other(ann):
    view = ann.region()
    ann.decide(DecisionKind.RELABEL, view, class_id=0, version=0)
    assert ann.decide(DecisionKind.RELABEL, view, class_id=1, version=0).region_state is RegionState.DECIDED


def test_what_somebody_did_and_took_back_again_is_no_conflict(ann):
    view = ann.region()
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    bob.decide(DecisionKind.ACCEPT, view, version=0)
    bob.undo()
    assert ann.decide(DecisionKind.VOID, view, version=0).region_state is RegionState.DECIDED


def test_an_undo_by_somebody_else_is_a_conflict_for_who_saw_the_pixels_before(ann):
    view = ann.region()
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    seen = bob.decide(DecisionKind.RELABEL, view, class_id=0).image_version
    bob.undo()
    with pytest.raises(ConflictError, match="bob"):
        ann.decide(DecisionKind.ACCEPT, view, version=seen)


def test_a_region_of_an_older_proposal_is_refused(ann):
    view = ann.region()
    store_proposal(ann.store, view.row.image_id, 1, make_prediction(77))
    with pytest.raises(ConflictError, match="newer model has proposed other regions"):
        ann.decide(DecisionKind.ACCEPT, view)
    with pytest.raises(NotFoundError, match="older proposal"):
        ann.service.region(view.row.region_id)


def test_four_people_deciding_at_once_lose_nothing(ann):
    rows = ann.service.queue(QueueFilter(), limit=500)
    start = threading.Barrier(4)

    def work(number):
        reviewer = Reviewer(ann.store, user=f"user-{number}", session=f"tab-{number}")
        start.wait()
        for row in rows[number::4]:
            reviewer.decide(DecisionKind.ACCEPT, reviewer.service.region(row.region_id))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert ann.service.counts().decided == len(rows)


SAVE_FOREVER = """
import itertools, sys
from pathlib import Path
import numpy as np
from app.config import Workspace
from app.domain.decisions import Delta
from app.domain.states import DecisionKind
from app.services.review_types import DecisionRequest
from app.services.reviewing import ReviewService
from app.storage.database import open_store

service = ReviewService(open_store(Workspace(Path(sys.argv[1]))))
image_id, version = int(sys.argv[2]), int(sys.argv[3])
for number in itertools.count():
    value = np.full((int(sys.argv[4]), int(sys.argv[4])), number % 3, np.uint8)
    delta = Delta(number % 40, number % 30, value)
    sent = DecisionRequest(f"{sys.argv[5]}-{number}", DecisionKind.DRAW, image_id, version, "ann", "tab", delta=delta,
                           lock_override=True)
    version = service.decide(sent).image_version
    print(sent.op_id, flush=True)
"""


def test_kill_9_in_the_middle_of_saving_loses_no_acknowledged_decision(ann):
    (image_id, *_) = pool_ids(ann.store)
    rng = random.Random(5)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    acknowledged = []
    for attempt in range(3):
        version = ann.service.image(image_id).image_version
        arguments = [str(ann.store.workspace.root), str(image_id), str(version), "20", str(attempt)]
        child = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        first = child.stdout.readline()
        timer = threading.Timer(rng.uniform(0.01, 0.4), child.send_signal, [signal.SIGKILL])
        timer.start()
        acknowledged += [first.strip(), *child.stdout.read().split("\n")[:-1]]
        assert child.wait() == -signal.SIGKILL
        with closing(sqlite3.connect(ann.store.workspace.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with ann.store.reader() as session:
        stored = list(session.scalars(select(Decision.op_id).order_by(Decision.id)))
    assert len(acknowledged) > 3
    assert set(acknowledged) <= set(stored)
    assert len(stored) <= len(acknowledged) + 3  # One per kill may be saved and not yet acknowledged.
    expected = ann.service.image_planes(image_id).proposal.copy()
    for op_id in stored:
        number = int(op_id.split("-")[1])
        expected[number % 30 : number % 30 + 20, number % 40 : number % 40 + 20] = number % 3
    assert np.array_equal(ann.service.image_planes(image_id).label, expected)
