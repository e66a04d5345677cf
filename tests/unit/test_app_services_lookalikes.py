"""Giving look-alike regions the class of one: a decision of its own, counted apart, taken back by one undo."""

import cv2
import numpy as np
import pytest
from sqlalchemy import select

from app.config import Workspace
from app.domain.states import DecisionKind, ModelStatus, RegionKind, RegionState
from app.services.importing import import_dataset
from app.services.lookalikes import LookalikeService
from app.services.proposals import store_proposal
from app.services.region_stories import region_stories
from app.services.review_types import ConflictError, NotFoundError, QueueFilter, ReviewError
from app.storage.database import open_store
from app.storage.models import Decision, Region
from datasets.labels import IGNORE_INDEX, Provenance
from export.session import Prediction
from tests.unit.made_workspace import (
    CLASSES,
    FilesDataset,
    Reviewer,
    add_model,
    copy_store,
    mask_of,
    pool_ids,
    set_trust,
)

SIZE_HW = (60, 120)
CENTERS = {"red": (15, 20), "also_red": (15, 60), "blue": (15, 100), "red_road": (45, 20), "unsure_red": (45, 60)}
COLORS = {"red": (200, 30, 30), "also_red": (205, 34, 28), "blue": (30, 30, 200), "red_road": (200, 30, 30),
          "unsure_red": (200, 30, 30)}  # fmt: skip


def spot(name):
    """(H, W), the pixels of one region."""
    return cv2.circle(np.zeros(SIZE_HW, np.uint8), CENTERS[name][::-1], 8, 1, -1) > 0


def prediction():
    """Five round regions: one of another color, one of another class, one of other probabilities than the rest."""
    label = np.zeros(SIZE_HW, np.uint8)
    label[30:, :40] = 1
    probabilities = np.stack([np.full(SIZE_HW, p, np.float32) for p in (0.97, 0.02, 0.01)])
    probabilities[:, label == 1] = np.array([[0.02], [0.97], [0.01]], np.float32)
    for name in CENTERS:
        likely = {"red_road": (0.3, 0.6, 0.1), "unsure_red": (0.5, 0.05, 0.45)}.get(name, (0.6, 0.3, 0.1))
        probabilities[:, spot(name)] = np.array(likely, np.float32)[:, None]
    confidence = probabilities.max(axis=0)
    return Prediction(
        label=label, confidence=confidence, margin=confidence, residual_variance=np.zeros(SIZE_HW, np.float32),
        weight=confidence, reliable=confidence > 0.9, probabilities=probabilities,
    )  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("alike")
    picture = np.full((*SIZE_HW, 3), 128, np.uint8)
    for name, color in COLORS.items():
        picture[spot(name)] = color
    (root / "source").mkdir()
    cv2.imwrite(str(root / "source" / "pool_0.png"), picture[..., ::-1])
    store = open_store(Workspace(root / "workspace"), create=True)
    import_dataset(store, FilesDataset(root / "source", {"pool_0": None}, CLASSES), set(), set())
    set_trust(store)
    add_model(store, ModelStatus.CURRENT)
    store_proposal(store, pool_ids(store)[0], 1, prediction())
    store.close()
    return store.workspace.root


@pytest.fixture
def ann(template, tmp_path):
    return Reviewer(copy_store(template, tmp_path))


def region_of(ann, name):
    """The region whose pixels include the middle of a spot."""
    (image_id,) = pool_ids(ann.store)
    number = int(ann.service.image_planes(image_id).region_map[CENTERS[name]])
    with ann.store.reader() as session:
        region_id = session.scalar(select(Region.id).where(Region.image_id == image_id, Region.number == number))
    return ann.service.region(region_id)


def ids(ann, *names):
    return tuple(region_of(ann, name).row.region_id for name in names)


def propagate(ann, *names, **fields):
    fields = {"class_id": 2, "propagate_to": ids(ann, *names), **fields}
    return ann.decide(DecisionKind.PROPAGATE, region_of(ann, "red"), **fields)


def test_lookalikes_have_the_same_class_color_and_probabilities(ann):
    (region_id,) = ids(ann, "red")
    assert [row.region_id for row in LookalikeService(ann.store).find(region_id)] == list(ids(ann, "also_red"))


def test_regions_that_are_decided_doubted_or_test_somebody_are_no_lookalikes(ann):
    source, alike = ids(ann, "red", "also_red")
    for change in (DecisionKind.ACCEPT, DecisionKind.DONT_KNOW):
        ann.decide(change, region_of(ann, "also_red"))
        assert LookalikeService(ann.store).find(source) == []
        ann.undo()
    ann.decide(DecisionKind.SKIP, region_of(ann, "also_red"))
    assert [row.region_id for row in LookalikeService(ann.store).find(source)] == [alike]
    with ann.store.session() as session:
        session.get_one(Region, alike).kind = RegionKind.AUDIT
    assert LookalikeService(ann.store).find(source) == []


def test_a_region_that_is_not_there_has_no_lookalikes(ann):
    (old,) = ids(ann, "red")
    store_proposal(ann.store, pool_ids(ann.store)[0], 1, prediction())
    for region_id in (999, old):
        with pytest.raises(NotFoundError):
            LookalikeService(ann.store).find(region_id)


def test_propagating_sets_exactly_the_pixels_of_the_regions_and_decides_them(ann):
    (image_id,) = pool_ids(ann.store)
    before = ann.service.image_planes(image_id)
    targets = [region_of(ann, name) for name in ("also_red", "blue")]
    mask = mask_of(before, targets[0]) | mask_of(before, targets[1])
    result = propagate(ann, "also_red", "blue")
    after = ann.service.image_planes(image_id)
    assert np.array_equal(after.label, np.where(mask, 2, before.label))
    assert np.array_equal(after.provenance == Provenance.HUMAN, mask)
    assert {(each.region_id, each.state) for each in result.regions} == {
        (ids(ann, "red")[0], RegionState.OPEN),
        *((each.row.region_id, RegionState.DECIDED) for each in targets),
    }


def test_void_propagates_too(ann):
    propagate(ann, "also_red", class_id=None)
    planes = ann.service.image_planes(pool_ids(ann.store)[0])
    assert planes.label[CENTERS["also_red"]] == IGNORE_INDEX


def test_one_undo_takes_a_propagation_back_and_one_redo_brings_it_again(ann):
    (image_id,) = pool_ids(ann.store)
    initial = ann.state(image_id)
    propagate(ann, "also_red", "blue")
    spread = ann.state(image_id)
    assert {each.state for each in ann.undo().regions} == {RegionState.OPEN}
    assert ann.state(image_id) == initial
    ann.redo()
    assert ann.state(image_id) == spread


def test_propagated_regions_are_counted_apart_until_somebody_looks_at_them(ann):
    ann.decide(DecisionKind.RELABEL, region_of(ann, "red"), class_id=2)
    result = propagate(ann, "also_red", "blue")
    assert (result.counts.decided, result.counts.propagated) == (3, 2)
    looked_at = ann.decide(DecisionKind.ACCEPT, region_of(ann, "blue"))
    assert (looked_at.counts.decided, looked_at.counts.propagated) == (3, 1)
    assert ann.undo().counts.propagated == 2


def test_a_propagation_logs_its_pixels_and_regions_apart(ann):
    area = sum(region_of(ann, name).row.area for name in ("also_red", "blue"))
    propagate(ann, "also_red", "blue")
    with ann.store.reader() as session:
        entry = session.scalars(select(Decision)).one()
    assert entry.stats["propagated_pixels"] == entry.stats["pixels_set"] == area
    assert entry.stats["propagated_regions"] == sorted(ids(ann, "also_red", "blue"))
    assert (entry.kind, entry.class_id, entry.closes_region) == (DecisionKind.PROPAGATE, 2, False)


def test_lists_say_that_a_region_was_propagated_and_by_whom(ann):
    source, alike = ids(ann, "red", "also_red")
    propagate(ann, "also_red")
    stories = region_stories(ann.store, [source, alike])
    assert stories[source].verdict is None
    assert (stories[alike].verdict.kind, stories[alike].verdict.class_id) == (DecisionKind.PROPAGATE, 2)
    ann.undo()
    assert region_stories(ann.store, [alike])[alike].verdict is None


def test_a_region_that_was_decided_since_the_preview_stops_the_propagation(ann):
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    before = ann.state(pool_ids(ann.store)[0])
    bob.decide(DecisionKind.VOID, region_of(ann, "blue"))
    with pytest.raises(ConflictError, match="was decided since the preview"):
        propagate(ann, "also_red", "blue", version=0)
    bob.undo()
    assert ann.state(pool_ids(ann.store)[0]) == before


def test_a_propagation_over_what_another_tab_just_skipped_is_refused(ann):
    Reviewer(ann.store, user="bob", session="tab-b").decide(DecisionKind.SKIP, region_of(ann, "blue"))
    with pytest.raises(ConflictError, match="bob changed"):
        propagate(ann, "blue", version=0)


def test_a_decision_about_a_region_that_another_tab_propagated_to_is_refused(ann):
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    propagate(ann, "also_red")
    with pytest.raises(ConflictError, match="ann changed"):
        bob.decide(DecisionKind.SKIP, region_of(ann, "also_red"), version=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"propagate_to": ()}, "at least one region"),
        ({"propagate_to": (999,)}, "no region 999"),
        ({"class_id": 3}, "class_id must be 0-2"),
        ({"region_id": None}, "needs a region_id"),
    ],
    ids=["nothing", "unknown", "class", "no-source"],
)
def test_a_propagation_that_makes_no_sense_is_refused(ann, fields, message):
    with pytest.raises(ReviewError, match=message):
        propagate(ann, "also_red", **fields)


def test_a_region_does_not_propagate_to_itself(ann):
    with pytest.raises(NotFoundError, match="to propagate to"):
        propagate(ann, "red")


def test_propagate_to_belongs_to_propagate_alone(ann):
    with pytest.raises(ReviewError, match="propagate_to belongs"):
        ann.decide(DecisionKind.ACCEPT, region_of(ann, "red"), propagate_to=(1,))


def test_the_queue_shows_what_is_left_after_a_propagation(ann):
    propagate(ann, "also_red", "blue")
    left = {row.region_id for row in ann.service.queue(QueueFilter())}
    assert left.isdisjoint(ids(ann, "also_red", "blue")) and set(ids(ann, "red", "red_road")) <= left
