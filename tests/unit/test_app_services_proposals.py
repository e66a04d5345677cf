"""A prediction becomes a proposal: human pixels win, regions are queued, the old proposal goes."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select

from app.domain.queue import QueueRules, class_rarity
from app.domain.regions import BAND, LEFTOVER
from app.domain.states import DecisionKind, ImageRole, RegionState
from app.services import proposals
from app.services.proposals import store_proposal
from app.services.review_types import QueueFilter
from app.storage.models import Image, Proposal
from app.storage.settings import ReviewSettings, write_review_settings
from datasets.labels import Provenance
from tests.unit.made_workspace import SIZE_HW, Reviewer, copy_store, make_prediction, make_template, mask_of, pool_ids

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1", "pool_2"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def test_human_pixels_win_over_a_later_proposal_and_are_not_queued_again(ann):
    view = ann.region()
    image_id = view.row.image_id
    region_mask = mask_of(ann.service.image_planes(image_id), view)
    ann.decide(DecisionKind.RELABEL, view, class_id=0)
    store_proposal(ann.store, image_id, 1, make_prediction(pool_ids(ann.store).index(image_id)))
    planes = ann.service.image_planes(image_id)
    assert np.all(planes.label[region_mask] == 0)
    assert np.all(planes.provenance[region_mask] == Provenance.HUMAN)
    assert not planes.region_map[region_mask].any()


def test_a_proposal_made_while_somebody_decides_takes_the_decision_into_account(ann, monkeypatch):
    view = ann.region()
    region_mask = mask_of(ann.service.image_planes(view.row.image_id), view)
    original = proposals.write_planes
    interruptions = iter([True])

    def write_after_a_decision(parent, name, planes):
        if next(interruptions, False):
            ann.decide(DecisionKind.VOID, view)
        return original(parent, name, planes)

    monkeypatch.setattr(proposals, "write_planes", write_after_a_decision)
    store_proposal(ann.store, view.row.image_id, 1, make_prediction(pool_ids(ann.store).index(view.row.image_id)))
    planes = ann.service.image_planes(view.row.image_id)
    assert not planes.region_map[region_mask].any()
    with ann.store.reader() as session:
        folders = {ann.store.workspace.absolute(path) for path in session.scalars(select(Proposal.folder))}
    assert folders == set((ann.store.workspace.proposals / "1").iterdir())


def test_planes_on_disk_are_those_of_the_prediction(ann):
    (image_id, *_) = pool_ids(ann.store)
    prediction = make_prediction(9)
    store_proposal(ann.store, image_id, 1, prediction)
    planes = ann.service.image_planes(image_id)
    assert np.array_equal(planes.proposal, prediction.label)
    assert np.array_equal(planes.reliable, prediction.reliable)
    assert np.array_equal(planes.unreliability, np.rint(255 * (1 - prediction.confidence)).astype(np.uint8))


def test_every_unreliable_pixel_has_a_place_in_the_stored_region_map(ann):
    planes = ann.service.image_planes(pool_ids(ann.store)[0])
    numbers = {row.number for row in ann.service.queue(QueueFilter(image_id=planes.image_id), limit=500)}
    assert np.array_equal(planes.region_map > 0, ~planes.reliable)
    assert set(np.unique(planes.region_map)) - {0, BAND, LEFTOVER} == numbers


@pytest.mark.parametrize("rules", [QueueRules(), QueueRules(diversity_discount=0.5, rarity_low=1, rarity_high=1.2)])
def test_a_score_is_expected_errors_times_rarity_discounted_by_rank(ann, rules):
    with ann.store.session() as session:
        write_review_settings(session, ReviewSettings(queue_rules=rules))
    store_proposal(ann.store, pool_ids(ann.store)[0], 1, make_prediction(0))
    with ann.store.reader() as session:
        labeled = session.scalars(select(Image.class_pixels).where(Image.role == ImageRole.LABELED)).all()
    rarity = class_rarity(np.sum(labeled, axis=0).tolist(), rules)
    rows = ann.service.queue(QueueFilter(image_id=pool_ids(ann.store)[0]), limit=500)
    for rank, row in enumerate(rows):
        gain = row.area * (1 - row.mean_confidence) * rarity[row.class_id]
        assert row.score == pytest.approx(gain * rules.diversity_discount**rank)


def test_a_calibrated_file_scores_regions_and_colors_maps_by_its_probability_of_being_wrong(ann):
    (image_id, *_) = pool_ids(ann.store)
    plain = make_prediction(9)
    twice = np.clip(2 * (1 - plain.confidence), 0, 1).astype(np.float32)  # the model is half as right as it is sure
    store_proposal(ann.store, image_id, 1, plain)
    before = {row.number: row for row in ann.service.queue(QueueFilter(image_id=image_id), limit=500)}
    store_proposal(ann.store, image_id, 1, replace(plain, probability_wrong=twice))
    after = {row.number: row for row in ann.service.queue(QueueFilter(image_id=image_id), limit=500)}
    assert before.keys() == after.keys() and before
    for number, row in after.items():
        wrong = float(twice[ann.service.image_planes(image_id).region_map == number].mean())
        assert row.mean_confidence == pytest.approx(1 - wrong, abs=1e-5)
        assert row.mean_confidence < before[number].mean_confidence
    assert np.array_equal(ann.service.image_planes(image_id).unreliability, np.rint(255 * (1 - (1 - twice))))


def test_a_new_proposal_takes_the_waiting_regions_of_the_old_one_out_of_the_queue(ann):
    (image_id, *_) = pool_ids(ann.store)
    waiting = {row.region_id for row in ann.service.queue(QueueFilter(image_id=image_id), limit=500)}
    store_proposal(ann.store, image_id, 1, make_prediction(77))
    superseded = ann.service.queue(QueueFilter(state=RegionState.SUPERSEDED), limit=500)
    assert {row.region_id for row in superseded} == waiting
    assert not waiting & {row.region_id for row in ann.service.queue(QueueFilter(), limit=500)}


def with_values(**planes):
    return replace(make_prediction(0), **planes)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (make_prediction(0, (40, 40)), r"pool_0 is \(60, 80\) \(height, width\), but the prediction is"),
        (with_values(probabilities=np.zeros((5, *SIZE_HW), np.float32)), "for the 3 classes of this workspace"),
        (with_values(label=np.full(SIZE_HW, 3, np.uint8)), "predicts class 3"),
        (with_values(label=np.full(SIZE_HW, 255, np.uint8)), "predicts class 255"),
        (with_values(confidence=np.full(SIZE_HW, np.nan, np.float32)), "confidence has values outside 0-1 or NaN"),
        (with_values(weight=np.full(SIZE_HW, 1.5, np.float32)), "weight has values outside 0-1"),
        (with_values(probability_wrong=np.full(SIZE_HW, np.nan, np.float32)), "probability_right has values outside"),
    ],
    ids=["size", "classes", "unknown-class", "void", "nan", "weight", "calibrated"],
)
def test_a_prediction_that_cannot_be_right_is_refused_and_the_old_proposal_stays(ann, prediction, message):
    (image_id, *_) = pool_ids(ann.store)
    before = ann.state(image_id)
    with pytest.raises(ValueError, match=message):
        store_proposal(ann.store, image_id, 1, prediction)
    assert ann.state(image_id) == before


@pytest.mark.parametrize("name", ["gold_0", "labeled_0"])
def test_only_pool_images_get_proposals(ann, name):
    with ann.store.reader() as session:
        image_id = session.scalars(select(Image.id).where(Image.sample_id == name)).one()
    with pytest.raises(ValueError, match="only pool images get proposals"):
        store_proposal(ann.store, image_id, 1, make_prediction(0))
