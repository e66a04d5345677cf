"""A workspace and its data set in FiftyOne, over a real MongoDB."""

from importlib import import_module
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind
from app.services.coco_export import export_coco
from app.services.comments import open_questions
from app.services.deleting import delete_images
from app.services.explorer_folder import read_links
from app.services.jobs import JobQueue, check_arguments
from app.services.labels import label_state
from app.services.processes import Monitor, WorkCancelledError
from app.storage.models import Image
from app.web import fiftyone_view
from app.web.explorer import choose_links, do_job, explorer_status, sync
from app.web.explorer_ready import require_explorer
from app.web.fiftyone_view import VIEWS
from datasets.labels import IGNORE_INDEX
from tests.unit.made_workspace import CLASSES, Reviewer, copy_store, everything_stored, make_template

pytestmark = pytest.mark.usefixtures("mongodb_server")

LEE = Actor("lee", Role.LEAD)
NAMES = {"labeled_0", "labeled_1", "gold_0", "pool_0", "pool_1"}
_numbers = count(1)


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def store(reviewable, tmp_path):
    return copy_store(reviewable, tmp_path)


@pytest.fixture
def links(store):
    return choose_links(store, dataset=f"tests-{next(_numbers)}")


def synced(store, links, monitor=None):
    return sync(store, links, LEE, monitor or Monitor())


def fiftyone():
    """Loading it takes seconds, and the server has to be there before."""
    return import_module("fiftyone")


def dataset(links):
    return fiftyone().load_dataset(links.dataset)


def sample(links, name):
    return dataset(links).match({"name": name}).first()


def content(links):
    """Everything in the data set, with the moment of each sample's last change."""
    return [each.to_dict() for each in dataset(links).sort_by("name")]


def moved(report):
    return report.added, report.changed, report.removed


def test_every_image_gets_a_sample_and_a_second_sync_writes_nothing(store, links):
    assert moved(synced(store, links)) == (5, 0, 0)
    first, rows = content(links), everything_stored(store)
    assert {each["name"] for each in first} == NAMES
    assert moved(synced(store, links)) == (0, 0, 0)
    assert (content(links), everything_stored(store)) == (first, rows)


def test_masks_names_colors_and_views_are_there(store, links):
    synced(store, links)
    found, pool = dataset(links), sample(links, "pool_0")
    assert found.persistent
    assert found.mask_targets["proposal"] == {0: "void", 1: "sky", 2: "road", 3: "car"}
    assert set(pool.proposal.get_mask().ravel().tolist()) == {1, 2, 3}
    assert pool.unreliability.get_map().shape == (60, 80)
    assert (pool.metadata.width, pool.metadata.height) == (80, 60)
    assert set(found.list_saved_views()) == set(VIEWS)
    uncertain = found.load_saved_view("Most uncertain first").values("mean_unreliability")
    assert len(uncertain) == 2 and uncertain == sorted(uncertain, reverse=True)
    assert set(found.load_saved_view("To review").values("name")) == {"pool_0", "pool_1"}
    assert set(found.load_saved_view("Reviewed").values("name")) == {"labeled_0", "labeled_1", "gold_0"}


def test_a_decision_changes_its_own_sample_only(store, links):
    synced(store, links)
    ann = Reviewer(store)
    view = ann.region()
    ann.decide(DecisionKind.RELABEL, view, class_id=2)
    assert moved(synced(store, links)) == (0, 1, 0)
    changed = sample(links, view.row.sample_id)
    label = ann.service.image_planes(view.row.image_id).label
    assert (changed.reviewed.get_mask() == label + 1).all()
    assert moved(synced(store, links)) == (0, 0, 0)


def test_tags_set_in_fiftyone_take_effect_once_and_end_when_they_are_taken_off(store, links):
    synced(store, links)
    tagged = sample(links, "pool_1")
    tagged.tags += ["flag", "assign:ann", "night"]
    tagged.save()
    status = explorer_status(store, links, Monitor())
    assert (status.samples, status.new_tags, status.gone_tags) == (5, 2, 0)
    report = synced(store, links)
    assert report.tags.applied == (("pool_1", "assign:ann"), ("pool_1", "flag"))
    assert report.changed == 1  # The assignee, which the tag changed, is shown at once.
    assert sample(links, "pool_1").assignee == "ann"
    assert set(sample(links, "pool_1").tags) == {"flag", "assign:ann", "night", "role:pool", "state:open"}
    assert [question.sample_id for question in open_questions(store)] == ["pool_1"]
    assert synced(store, links).tags.applied == ()
    tagged = sample(links, "pool_1")
    tagged.tags.remove("assign:ann")
    tagged.save()
    assert synced(store, links).tags.withdrawn == (("pool_1", "assign:ann"),)
    assert sample(links, "pool_1").assignee is None


def test_a_tag_on_a_mask_counts_as_one_on_its_image(store, links):
    synced(store, links)
    tagged = sample(links, "pool_1")
    tagged.proposal.tags.append("assign:ann")
    tagged.save()
    assert synced(store, links).tags.applied == (("pool_1", "assign:ann"),)
    assert synced(store, links).tags.withdrawn == ()
    assert sample(links, "pool_1").proposal.tags == ["assign:ann"]


def test_the_job_takes_tags_in_the_name_of_whoever_asked_for_it(store, links):
    synced(store, links)
    tagged = sample(links, "pool_1")
    tagged.tags += ["flag", "assign:ann"]
    tagged.save()
    queue = JobQueue(store.workspace, store=store)
    sent = {"person": "lee", "role": "lead"}  # As if somebody wanted to pass for a lead.
    job = queue.get(queue.submit("explore", sent, Actor("eve", Role.ENGINEER)))
    result = do_job(store, store.workspace, check_arguments(job.kind, job.arguments)[1], Monitor())
    assert result["tags"]["applied"] == (("pool_1", "flag"),)
    assert "eve is engineer here" in result["tags"]["refused"][0][2]
    assert [question.author for question in open_questions(store)] == ["eve"]


def test_two_syncs_at_once_do_not_add_samples_twice(store, links):
    refusals = []

    def try_another(progress):
        try:
            synced(store, links)
        except RuntimeError as refusal:
            refusals.append(str(refusal))

    assert moved(synced(store, links, Monitor(try_another))) == (5, 0, 0)
    assert set(refusals) == {
        f"another sync of {store.workspace.root} runs; nothing was changed. Wait for it, or see: pixelsieve jobs"
    }
    assert len(dataset(links)) == 5


def test_what_people_made_in_fiftyone_stays(store, links):
    synced(store, links)
    found = dataset(links)
    found.add_sample(type(found.first())(filepath="/pictures/own.png", tags=["mine"]))
    found.set_values("weather", {sample(links, "pool_0").id: "rain"}, key_field="id", dynamic=True)
    found.save_view("My rain", found.match({"weather": "rain"}))
    Reviewer(store).decide(DecisionKind.ACCEPT, Reviewer(store).region())
    assert moved(synced(store, links)) == (0, 1, 0)
    found.reload()
    assert sample(links, "pool_0").weather == "rain"
    assert "My rain" in found.list_saved_views()
    assert found.match_tags("mine").count() == 1


def test_a_deleted_image_loses_its_sample(store, links):
    synced(store, links)
    delete_images(store, LEE, ["pool_0"])
    assert moved(synced(store, links)) == (0, 0, 1)
    assert set(dataset(links).values("name")) == NAMES - {"pool_0"}


def test_a_sync_that_is_stopped_is_finished_by_the_next_one(store, links, monkeypatch):
    monkeypatch.setattr(fiftyone_view, "_BATCH", 2)
    for stop_after in (3, 7):  # While it looks at the images, and behind the first batch of samples.
        seen = []
        monitor = Monitor(seen.append, lambda seen=seen, stop_after=stop_after: len(seen) >= stop_after)
        with pytest.raises(WorkCancelledError):
            synced(store, links, monitor)
    assert len(dataset(links)) == 2
    assert moved(synced(store, links)) == (3, 0, 0)
    assert {each["name"] for each in content(links)} == NAMES
    assert moved(synced(store, links)) == (0, 0, 0)


def test_who_loses_fiftyones_data_takes_no_tag_off(store, links):
    synced(store, links)
    tagged = sample(links, "pool_1")
    tagged.tags.append("assign:ann")
    tagged.save()
    synced(store, links)
    dataset(links).delete()
    assert moved(synced(store, links)) == (5, 0, 0)
    assert "assign:ann" in sample(links, "pool_1").tags
    assert synced(store, links).tags.withdrawn == ()


def test_a_data_set_of_somebody_else_is_left_alone(store, links):
    fiftyone().Dataset(links.dataset, persistent=True)
    with pytest.raises(ValueError, match="was not made by Pixelsieve; nothing was changed. Choose another name"):
        synced(store, links)
    assert len(dataset(links)) == 0


def test_the_reviewer_learns_where_fiftyone_shows_an_image(store, links):
    assert read_links(store.workspace) is None
    synced(store, links.model_copy(update={"explorer_url": "https://explore.example.org"}))
    kept = read_links(store.workspace)
    pool = sample(links, "pool_0")
    assert kept.address(pool.pixelsieve_key) == f"https://explore.example.org/datasets/{links.dataset}?id={pool.id}"
    assert kept.address("0" * 64) is None


def test_a_picture_that_a_browser_would_turn_is_shown_as_a_copy(store, links):
    with store.reader() as session:
        row = session.query(Image).filter_by(sample_id="pool_0").one()
    path = store.workspace.absolute(row.path)
    with Picture.open(path) as picture:
        exif = Picture.Exif()
        exif[0x0112] = 3
        picture.save(path, format="PNG", exif=exif)
    synced(store, links)
    shown = Path(sample(links, "pool_0").filepath)
    assert shown == store.workspace.explorer.resolve() / "pictures" / f"{row.sha256}.png"


def test_fiftyone_reads_back_the_pixels_of_every_class(store, tmp_path):
    ann = Reviewer(store)
    ann.decide(DecisionKind.VOID, ann.region())
    folder = tmp_path / "coco"
    export_coco(store, folder, "all")
    with store.reader() as session:
        images = session.query(Image).all()
        labels = {image.sample_id: label_state(store, session, image).label for image in images}
        pictures = tmp_path / "pictures"
        pictures.mkdir()
        for image in images:
            name = f"{image.sample_id}{Path(image.path).suffix}"
            (pictures / name).write_bytes(store.workspace.absolute(image.path).read_bytes())
    require_explorer()
    fo = fiftyone()
    read = fo.Dataset.from_dir(
        dataset_type=fo.types.COCODetectionDataset,
        data_path=str(pictures),
        labels_path=str(folder / "annotations.json"),
        label_types="segmentations",
        include_id=True,
    )
    found = {Path(sample.filepath).stem: _painted(sample) for sample in read}
    assert found.keys() == labels.keys()
    for name, label in labels.items():
        assert (found[name] == label).all(), name


def _painted(sample):
    """(H, W) class ids out of FiftyOne's boxes and masks; void where there is none."""
    width, height = sample.metadata.width, sample.metadata.height
    label = np.full((height, width), IGNORE_INDEX, np.uint8)
    for each in sample.segmentations.detections:
        x, y, w, h = (round(value) for value in np.array(each.bounding_box) * [width, height, width, height])
        box = label[y : y + h, x : x + w]
        box[each.mask[: box.shape[0], : box.shape[1]].astype(bool)] = CLASSES.names.index(each.label)
    return label
