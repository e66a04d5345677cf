"""Previews of other thresholds: they count what a prediction would queue, and leave the store as it is."""

import json

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from app.__main__ import application
from app.domain.regions import RegionRules
from app.domain.states import DecisionKind, ImageRole, ImageState, RegionState
from app.services.cutting import preview_cuts
from app.services.processes import WorkCancelledError
from app.services.review_types import QueueFilter
from app.storage.models import Image, Region
from tests.unit.made_workspace import SIZE_HW, Reviewer, copy_store, make_template, mask_of, pool_ids

# Blobs of make_prediction are wrong with 0.43 to 0.6, everything else with 0.05.
LIKE_THE_FILE = 0.2


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("cutting"), ("pool_0", "pool_1", "pool_2"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def test_the_files_own_verdict_and_the_same_threshold_count_the_regions_that_wait(ann):
    rows = ann.service.queue(QueueFilter(), limit=500)
    own, same = preview_cuts(ann.store, [None, LIKE_THE_FILE])
    assert own == same
    assert (own.regions, own.region_pixels) == (len(rows), sum(row.area for row in rows))
    assert own.images == 3 and rows


def test_a_stricter_threshold_asks_about_more_and_the_loosest_about_nothing(ann):
    strict, own, loose = preview_cuts(ann.store, [0.01, None, 1.0])
    assert strict.unreliable_pixels == strict.pixels > own.unreliable_pixels > 0
    assert strict.region_pixels > own.region_pixels
    assert (loose.images, loose.regions, loose.unreliable_pixels) == (0, 0, 0)


def test_decided_pixels_are_not_counted_again_at_any_threshold(ann):
    view = ann.region()
    area = int(mask_of(ann.service.image_planes(view.row.image_id), view).sum())
    before = preview_cuts(ann.store, [0.01, None])
    ann.decide(DecisionKind.RELABEL, view, class_id=0)
    after = preview_cuts(ann.store, [0.01, None])
    assert [one.unreliable_pixels - other.unreliable_pixels for one, other in zip(before, after, strict=True)] == [
        area,
        area,
    ]
    assert after[1].regions == before[1].regions - 1


def test_a_region_in_second_review_waits_whatever_the_threshold_says(ann):
    view = ann.region()
    ann.decide(DecisionKind.DONT_KNOW, view)
    (loosest,) = preview_cuts(ann.store, [1.0])
    assert (loosest.images, loosest.regions, loosest.region_pixels) == (1, 1, view.row.area)


def test_images_that_are_done_because_the_model_was_sure_are_counted_as_a_stricter_threshold_cuts_them(ann):
    before = preview_cuts(ann.store, [0.01])
    with ann.store.session() as session:
        session.execute(update(Region).values(state=RegionState.SUPERSEDED))
        session.execute(update(Image).where(Image.role == ImageRole.POOL).values(state=ImageState.DONE))
    assert preview_cuts(ann.store, [0.01]) == before and before[0].regions > 0


def test_images_that_are_done_by_decisions_are_left_out(ann):
    first = pool_ids(ann.store)[0]
    for row in ann.service.queue(QueueFilter(image_id=first), limit=500):
        ann.decide(DecisionKind.ACCEPT, ann.service.region(row.region_id))
    (rest,) = preview_cuts(ann.store, [0.01])
    assert rest.pixels == 2 * SIZE_HW[0] * SIZE_HW[1]


def test_other_region_rules_cut_the_same_predictions_otherwise(ann):
    (ours,) = preview_cuts(ann.store, [None])
    (none,) = preview_cuts(ann.store, [None], RegionRules(min_area_px=4000, min_area_share=0.5, max_area_share=1))
    assert none.regions == 0 < ours.regions
    assert none.unreliable_pixels == ours.unreliable_pixels


def test_a_preview_leaves_every_image_as_it_is_and_stops_when_asked(ann):
    before = [ann.state(image_id) for image_id in pool_ids(ann.store)]
    preview_cuts(ann.store, [0.01, 1.0])
    assert [ann.state(image_id) for image_id in pool_ids(ann.store)] == before
    with pytest.raises(WorkCancelledError, match="after 0 of 3 images"):
        preview_cuts(ann.store, [0.1], should_cancel=lambda: True)


def test_the_command_says_that_nothing_is_promised_and_how_much_would_be_asked(ann):
    root = str(ann.store.workspace.root)
    (own, strict) = preview_cuts(ann.store, [None, 0.01])
    shown = CliRunner().invoke(application, ["threshold", "show", "-w", root])
    assert shown.exit_code == 0 and "Not calibrated" in shown.stdout
    told = CliRunner().invoke(application, ["threshold", "show", "--at", "0.01", "--json", "-w", root])
    queue = json.loads(told.stdout)["queue"]
    assert [(row["threshold"], row["regions"]) for row in queue] == [(None, own.regions), (0.01, strict.regions)]
    refused = CliRunner().invoke(application, ["threshold", "show", "--at", "1.5", "-w", root])
    assert refused.exit_code == 2
