"""What FiftyOne is told about each image."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageRole, RegionKind
from app.services.deleting import delete_images, purge_images
from app.services.explorer_folder import ExplorerFolder
from app.services.exploring import ExplorerSource, collect_samples
from app.services.model_changes import promote
from app.services.processes import Monitor, WorkCancelledError
from app.services.review_types import QueueFilter
from app.storage.database import open_store
from app.storage.models import Image
from datasets.images import read_plane
from tests.browser.rounds_workspace import Quality, build_rounds_workspace
from tests.unit.made_workspace import Reviewer, copy_store, make_template
from tests.unit.trust_cases import control_ids, copy_scene, make_scene

LEE = Actor("lee", Role.LEAD)
URL = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def store(reviewable, tmp_path):
    return copy_store(reviewable, tmp_path)


def samples_of(store, monitor=None):
    """By name."""
    source = ExplorerSource(store, ExplorerFolder(store.workspace), URL, lambda path, _: path)
    found = collect_samples(source, monitor or Monitor())
    return {each.fields["name"]: each.fields for each in found.values()}


def test_an_image_of_the_pool_comes_with_its_proposal_its_doubt_and_its_place_in_the_queue(store):
    fields = samples_of(store)["pool_0"]
    ann = Reviewer(store)
    rows = [row for row in ann.service.queue(QueueFilter(), limit=500) if row.sample_id == "pool_0"]
    planes = ann.service.image_planes(rows[0].image_id)
    assert fields["tags"] == ["role:pool", "state:open"]
    assert (read_plane(Path(fields["proposal"])) == planes.proposal + 1).all()
    assert (read_plane(Path(fields["unreliability"])) == planes.unreliability).all()
    assert fields["mean_unreliability"] == pytest.approx(planes.unreliability.mean() / 255, abs=1e-6)
    assert fields["open_regions"] == len(rows)
    assert fields["queue_score"] == pytest.approx(max(row.score for row in rows), abs=1e-6)
    assert fields["expected_errors"] == pytest.approx(sum(r.area * (1 - r.mean_confidence) for r in rows), abs=0.01)
    assert (fields["reviewed"], fields["reviewed_share"]) == (None, 0.0)
    assert fields["reviewer_url"] == f"{URL}/review?image_id={rows[0].image_id}&include_enough=true"


def test_the_reviewed_mask_follows_every_decision_and_undo_under_a_new_name(store):
    ann = Reviewer(store)
    view = ann.region()
    name = view.row.sample_id
    ann.decide(DecisionKind.RELABEL, view, class_id=2)
    decided = samples_of(store)[name]
    assert (read_plane(Path(decided["reviewed"])) == ann.service.image_planes(view.row.image_id).label + 1).all()
    assert decided["reviewed_share"] == pytest.approx(view.row.area / (60 * 80), abs=1e-6)
    ann.undo()
    assert (samples_of(store)[name]["reviewed"], samples_of(store)[name]["reviewed_share"]) == (None, 0.0)
    ann.redo()
    again = samples_of(store)[name]
    assert again["reviewed"] != decided["reviewed"]
    assert (read_plane(Path(again["reviewed"])) == read_plane(Path(decided["reviewed"]))).all()


def test_images_that_came_with_a_label_show_it_and_void_is_not_painted(store):
    fields = samples_of(store)["labeled_0"]
    with store.reader() as session:
        image = session.query(Image).filter_by(sample_id="labeled_0").one()
    label = read_plane(store.workspace.absolute(image.label_path))
    shown = read_plane(Path(fields["reviewed"]))
    assert (shown[label == 255] == 0).all() and (shown[label != 255] == label[label != 255] + 1).all()
    assert (fields["tags"], fields["proposal"], fields["reviewer_url"]) == (["role:labeled"], None, None)


def test_gold_images_show_the_current_models_prediction_and_say_where_it_got_worse(tmp_path):
    workspace = build_rounds_workspace(tmp_path, (Quality(3), Quality(30, None, 1)), pool=1, gold=4)
    with closing(open_store(workspace)) as store:
        assert all(fields["gold_miou_change"] is None for fields in samples_of(store).values())
        promote(store, 2, LEE, "the camera changed today")
        gold = [fields for fields in samples_of(store).values() if "role:gold" in fields["tags"]]
    assert min(fields["gold_miou_change"] for fields in gold) < 0
    assert all(("gold:worse" in fields["tags"]) == (fields["gold_miou_change"] < 0) for fields in gold)
    assert all(
        fields["proposal"] and fields["reviewed"] and fields["reviewer_url"] == f"{URL}/models" for fields in gold
    )


def test_nothing_tells_which_images_hold_a_test_and_an_unfinished_control_image_has_no_proposal(tmp_path):
    store = copy_scene(make_scene(tmp_path / "made", pool=10), tmp_path)
    samples = samples_of(store)
    service = Reviewer(store).service
    with store.reader() as session:
        pool = session.query(Image).filter_by(role=ImageRole.POOL).all()
        controls = {session.get_one(Image, image_id).sample_id for image_id in control_ids(store)}
    for image in pool:
        rows = service.queue(QueueFilter(image_id=image.id, include_enough=True), limit=500)
        listed = [row for row in rows if row.kind is not RegionKind.CONTROL]
        assert samples[image.sample_id]["open_regions"] == len(listed)
    blank = {name for name, fields in samples.items() if "role:pool" in fields["tags"] and fields["proposal"] is None}
    assert blank == controls and controls
    assert all(samples[name]["mean_unreliability"] is None for name in controls)


def test_a_look_that_is_stopped_goes_on_where_it_was(store):
    seen = []
    monitor = Monitor(on_progress=lambda progress: seen.append(progress.done), should_cancel=lambda: len(seen) == 4)
    with pytest.raises(WorkCancelledError):
        samples_of(store, monitor)
    made = {path: path.stat().st_mtime_ns for path in store.workspace.explorer.glob("masks/*.png")}
    assert made
    samples_of(store)
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_masks_that_nobody_is_shown_any_more_are_removed(store):
    folder = ExplorerFolder(store.workspace)
    kept = folder.mask("kept", lambda: np.zeros((2, 2), np.uint8))
    ExplorerFolder(store.workspace).mask("other", lambda: np.zeros((2, 2), np.uint8))
    folder.forget_others()
    assert list(store.workspace.explorer.glob("masks/*.png")) == [Path(kept)]


def test_purging_an_image_removes_what_was_shown_of_it(store):
    samples_of(store)
    with store.session() as session:
        image = session.query(Image).filter_by(sample_id="pool_0").one()
    assert list(store.workspace.explorer.rglob(f"{image.sha256[:16]}*"))
    delete_images(store, LEE, ["pool_0"])
    with store.session() as session:
        session.get_one(Image, image.id).deleted_at -= timedelta(days=9)
    purge_images(store, LEE, older_than_days=2)
    assert not list(store.workspace.explorer.rglob(f"{image.sha256[:16]}*"))
