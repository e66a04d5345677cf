"""Exports hold the labels as they are now, and one damaged file leaves out one image only."""

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from app.config import Workspace
from app.domain.exporting import SELECTIONS
from app.domain.states import DecisionKind
from app.services.coco_export import FileNames, export_coco
from app.services.review_types import QueueFilter
from app.storage.database import open_store
from app.storage.models import Image
from app.storage.settings import adopt_class_set
from datasets.labels import IGNORE_INDEX
from export.coco_masks import open_coco, read_coco, write_coco
from tests.unit.made_workspace import CLASSES, Reviewer, copy_store, make_template, mask_of, pool_ids, random_label

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("export"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(template, tmp_path):
    return Reviewer(copy_store(template, tmp_path))


def test_everything_with_a_label_or_a_proposal_is_exported_exactly(ann, tmp_path):
    export_coco(ann.store, tmp_path / "coco", "all")
    class_set, labels = read_coco(tmp_path / "coco")
    assert class_set.names == CLASSES.names
    assert sorted(labels) == ["gold_0", "labeled_0", "labeled_1", "pool_0", "pool_1"]
    assert np.array_equal(labels["labeled_1"], random_label(1))
    for name, image_id in zip(("pool_0", "pool_1"), pool_ids(ann.store), strict=True):
        assert np.array_equal(labels[name], ann.service.image_planes(image_id).label)


def test_decisions_are_in_the_export_void_included(ann, tmp_path):
    view = ann.region()
    region_mask = mask_of(ann.service.image_planes(view.row.image_id), view)
    ann.decide(DecisionKind.VOID, view)
    export_coco(ann.store, tmp_path / "coco", "all")
    label = read_coco(tmp_path / "coco")[1][view.row.sample_id]
    assert np.array_equal(label == IGNORE_INDEX, region_mask)


def test_neither_an_unreviewed_image_nor_gold_is_among_the_reviewed_ones(ann, tmp_path):
    first, _ = pool_ids(ann.store)
    for row in ann.service.queue(QueueFilter(image_id=first), limit=500):
        ann.decide(DecisionKind.ACCEPT, ann.service.region(row.region_id))
    export_coco(ann.store, tmp_path / "coco", "reviewed")
    assert sorted(read_coco(tmp_path / "coco")[1]) == ["labeled_0", "labeled_1", "pool_0"]


def test_a_damaged_label_leaves_out_its_image_and_is_named(ann, tmp_path):
    with ann.store.reader() as session:
        image = session.scalars(select(Image).where(Image.sample_id == "labeled_0")).one()
    path = ann.store.workspace.absolute(image.label_path)
    path.write_bytes(path.read_bytes()[:40])
    manifest = export_coco(ann.store, tmp_path / "coco", "all")
    assert [(item.sample_id, item.name) for item in manifest.skipped] == [("labeled_0", "labeled_0.png")]
    assert sorted(read_coco(tmp_path / "coco")[1]) == ["gold_0", "labeled_1", "pool_0", "pool_1"]


def test_files_have_the_names_that_people_know_and_each_another_one(ann, tmp_path):
    with ann.store.session() as session:
        images = {image.sample_id: image for image in session.scalars(select(Image))}
        for sample_id, file_name in (("gold_0", "Foto 0 ü.jpg"), ("labeled_0", "x/../same.png"), ("pool_0", "a.png")):
            images[sample_id].file_name = file_name
        images["pool_1"].file_name = "a.png"
    export_coco(ann.store, tmp_path / "coco", "all")
    entries = json.loads((tmp_path / "coco" / "annotations.json").read_text())["images"]
    samples = json.loads((tmp_path / "coco" / "manifest.json").read_text())["samples"]
    for found in (entries, samples):
        assert {each["sample_id"]: (each["file_name"], each.get("original_file_name")) for each in found} == {
            "gold_0": ("Foto 0 ü.jpg", None), "labeled_0": ("labeled_0.png", "x/../same.png"),
            "labeled_1": ("labeled_1.png", None), "pool_0": ("a.png", None), "pool_1": ("pool_1.png", "a.png"),
        }  # fmt: skip
    again = open_coco(tmp_path / "coco")
    write_coco(tmp_path / "again", again.class_set, again)
    assert (tmp_path / "again" / "annotations.json").read_bytes() == (
        tmp_path / "coco" / "annotations.json"
    ).read_bytes()


def test_progress_counts_the_images(ann, tmp_path):
    seen = []
    export_coco(ann.store, tmp_path / "coco", "all", seen.append)
    assert [(moment.done, moment.total) for moment in seen] == [(count, 5) for count in range(1, 6)]


def test_an_empty_workspace_says_what_to_do_and_writes_nothing(tmp_path):
    store = open_store(Workspace(tmp_path / "workspace"), create=True)
    with store.session() as session:
        adopt_class_set(session, CLASSES, "test")
    with pytest.raises(ValueError, match="nothing to export .* no image but gold is reviewed"):
        export_coco(store, tmp_path / "coco")
    assert not (tmp_path / "coco").exists()


def test_gold_can_be_exported_alone(ann, tmp_path):
    export_coco(ann.store, tmp_path / "coco", "gold")
    assert list(read_coco(tmp_path / "coco")[1]) == ["gold_0"]


def test_the_manifest_names_the_role_of_every_image(ann, tmp_path):
    export_coco(ann.store, tmp_path / "coco", "all")
    samples = json.loads((tmp_path / "coco" / "manifest.json").read_text())["samples"]
    assert {sample["sample_id"]: sample["role"] for sample in samples} == {
        "gold_0": "gold", "labeled_0": "labeled", "labeled_1": "labeled", "pool_0": "pool", "pool_1": "pool",
    }  # fmt: skip


def test_the_readme_describes_every_selection_in_the_words_of_the_commands():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert [name for name, what in SELECTIONS.items() if f"| {what} |" not in readme] == []


def test_an_unknown_selection_names_the_known_ones(ann, tmp_path):
    with pytest.raises(ValueError, match="one of reviewed, gold, all, got 'some'"):
        export_coco(ann.store, tmp_path / "coco", "some")


def test_names_that_differ_in_the_case_of_letters_only_are_one_file_on_some_disks():
    names = FileNames()
    assert [names.choose(name, f"id_{name[0]}", "0" * 64) for name in ("a.png", "A.png")] == ["a.png", "id_A.png"]
