"""What a training round may learn from: provenance, weights, and nothing that nobody reviewed."""

import numpy as np
import pytest
from sqlalchemy import select

from app.domain.states import DecisionKind
from app.services.labels import label_state, training_entries
from app.services.review_types import QueueFilter
from app.storage.models import Image
from datasets.formats.manifest import write_manifest
from datasets.images import read_plane
from datasets.labels import IGNORE_INDEX, Provenance
from datasets.lookup import build_dataset
from tests.unit.made_workspace import (
    CLASSES,
    SIZE_HW,
    Reviewer,
    copy_store,
    make_template,
    mask_of,
    pool_ids,
    random_label,
)

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("labels"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(template, tmp_path):
    return Reviewer(copy_store(template, tmp_path))


def frozen(ann, tmp_path, pseudo=True):
    return {entry.sample_id: entry for entry in training_entries(ann.store, tmp_path / "frozen", pseudo)}


def decide_first(ann, image_id, kind, **fields):
    view = ann.service.region(ann.service.next_region(None, QueueFilter(image_id=image_id)))
    planes = ann.service.image_planes(image_id)
    ann.decide(kind, view, **fields)
    return planes, mask_of(planes, view)


def test_gold_images_are_never_training_entries(ann, tmp_path):
    assert sorted(frozen(ann, tmp_path)) == ["labeled_0", "labeled_1", "pool_0", "pool_1"]


def test_the_label_of_a_labeled_image_is_frozen_as_it_was_imported(ann, tmp_path):
    entry = frozen(ann, tmp_path)["labeled_1"]
    assert np.array_equal(read_plane(entry.label), random_label(1))
    assert (entry.provenance, entry.weight) == (None, None)


def test_unreviewed_unreliable_pixels_are_marked_weigh_nothing_and_hold_no_class(ann, tmp_path):
    (image_id, *_) = pool_ids(ann.store)
    planes, decided_mask = decide_first(ann, image_id, DecisionKind.RELABEL, class_id=2)
    entry = frozen(ann, tmp_path)["pool_0"]
    unreviewed_mask = ~planes.reliable & ~decided_mask
    assert unreviewed_mask.any()
    assert np.all(read_plane(entry.provenance)[unreviewed_mask] == Provenance.UNREVIEWED)
    assert np.all(read_plane(entry.weight)[unreviewed_mask] == 0)
    assert np.all(read_plane(entry.label)[unreviewed_mask] == IGNORE_INDEX)


def test_human_pixels_are_ground_truth_with_full_weight(ann, tmp_path):
    (image_id, *_) = pool_ids(ann.store)
    _, decided_mask = decide_first(ann, image_id, DecisionKind.RELABEL, class_id=2)
    entry = frozen(ann, tmp_path)["pool_0"]
    assert np.array_equal(read_plane(entry.provenance) == Provenance.HUMAN, decided_mask)
    assert np.all(read_plane(entry.label)[decided_mask] == 2)
    assert np.all(read_plane(entry.weight)[decided_mask] == 255)


def test_reliable_pixels_are_pseudo_labels_with_the_weight_the_model_gave(ann, tmp_path):
    (image_id, *_) = pool_ids(ann.store)
    planes = ann.service.image_planes(image_id)
    entry = frozen(ann, tmp_path)["pool_0"]
    assert np.array_equal(read_plane(entry.provenance) == Provenance.PSEUDO, planes.reliable)
    assert np.all(read_plane(entry.weight)[planes.reliable] == round(0.8 * 255))
    assert np.array_equal(read_plane(entry.label)[planes.reliable], planes.proposal[planes.reliable])


def test_accepting_the_rest_makes_no_pixel_human(ann, tmp_path):
    (image_id, *_) = pool_ids(ann.store)
    ann.service.accept_rest(image_id, 0, **ann.name, op_id="rest")
    assert not np.any(read_plane(frozen(ann, tmp_path)["pool_0"].provenance) == Provenance.HUMAN)


def test_without_pseudo_labels_only_what_people_decided_is_left(ann, tmp_path):
    (image_id, *_) = pool_ids(ann.store)
    _, decided_mask = decide_first(ann, image_id, DecisionKind.VOID)
    entries = frozen(ann, tmp_path, pseudo=False)
    provenance = read_plane(entries["pool_0"].provenance)
    assert np.array_equal(provenance == Provenance.HUMAN, decided_mask)
    assert np.all(provenance[~decided_mask] == Provenance.UNREVIEWED)
    assert entries["pool_1"].label is None


def test_a_pixel_somebody_did_not_know_stays_unreviewed(ann, tmp_path):
    (image_id, *_) = pool_ids(ann.store)
    _, region_mask = decide_first(ann, image_id, DecisionKind.DONT_KNOW)
    assert np.all(read_plane(frozen(ann, tmp_path)["pool_0"].provenance)[region_mask] == Provenance.UNREVIEWED)


def test_an_undone_decision_is_not_learned_from(ann, tmp_path):
    (image_id, *_) = pool_ids(ann.store)
    decide_first(ann, image_id, DecisionKind.RELABEL, class_id=2)
    ann.undo()
    assert not np.any(read_plane(frozen(ann, tmp_path)["pool_0"].provenance) == Provenance.HUMAN)


def test_frozen_labels_do_not_change_when_people_go_on(ann, tmp_path):
    entry = frozen(ann, tmp_path)["pool_0"]
    before = entry.label.read_bytes(), entry.provenance.read_bytes(), entry.weight.read_bytes()
    decide_first(ann, pool_ids(ann.store)[0], DecisionKind.VOID)
    assert (entry.label.read_bytes(), entry.provenance.read_bytes(), entry.weight.read_bytes()) == before


def test_entries_become_a_data_set_that_gives_back_label_provenance_and_weight(ann, tmp_path):
    round_folder = ann.store.workspace.rounds / "001"
    (image_id, *_) = pool_ids(ann.store)
    _, decided_mask = decide_first(ann, image_id, DecisionKind.VOID)
    write_manifest(round_folder / "manifest.json", CLASSES, training_entries(ann.store, round_folder, pseudo=True))
    dataset = build_dataset("manifest", round_folder, "train")
    sample = dataset[dataset.sample_ids.index("pool_0")]
    assert np.array_equal(sample.provenance == Provenance.HUMAN, decided_mask)
    assert np.all(sample.label[decided_mask] == IGNORE_INDEX)
    assert np.all(sample.weight[decided_mask] == 1)


def test_an_imported_label_is_human_everywhere(ann):
    with ann.store.reader() as session:
        image = session.scalars(select(Image).where(Image.sample_id == "labeled_0")).one()
        state = label_state(ann.store, session, image)
    assert np.array_equal(state.label, random_label(0))
    assert np.array_equal(state.provenance, np.full(SIZE_HW, Provenance.HUMAN))
