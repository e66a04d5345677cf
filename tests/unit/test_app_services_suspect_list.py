"""The list of labels that may be wrong: what is on it, what changed since, and what people say about it."""

import hashlib

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.domain.audit import AuditAction
from app.domain.decisions import Delta, delta_from_mask
from app.domain.regions import BAND
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageRole, RegionKind, RegionState, SuspectAnswer
from app.services import suspect_list as suspect_list_module
from app.services.deleting import delete_images, purge_images
from app.services.flagging import list_flags
from app.services.importing import import_dataset
from app.services.labels import label_state, training_entries
from app.services.processes import Monitor, WorkCancelledError
from app.services.proposals import store_proposal
from app.services.review_types import ConflictError, NotFoundError, ReviewError
from app.services.snapshot_restoring import restore_snapshot
from app.services.snapshots import take_snapshot
from app.services.suspect_answers import SendRequest, change_imported, say_right, send_to_review, take_back
from app.services.suspect_list import find_row, list_suspects, part_mask
from app.services.suspects import find_suspects, keep_suspects
from app.storage.audit import AuditEntry
from app.storage.models import Image, Region
from datasets.images import read_plane
from datasets.labels import IGNORE_INDEX
from tests.unit.made_workspace import (
    Reviewer,
    changing_statement,
    copy_store,
    make_dataset,
    make_prediction,
    make_template,
    pool_ids,
    raw_connection,
)
from tests.unit.suspect_cases import look, nothing_known, says
from tests.unit.trust_cases import SIZE_HW, control_ids, copy_scene, make_scene
from tests.unit.trust_cases import TRUST as PROBES

LEA = Actor("lea", Role.LEAD)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("template"), ("pool_0",))


@pytest.fixture
def ann(template, tmp_path, monkeypatch):
    """Ann, who relabeled the first region of the only pool image; the model would not have."""
    says(monkeypatch)
    ann = Reviewer(copy_store(template, tmp_path))
    ann.view = ann.region()
    ann.decide(DecisionKind.RELABEL, ann.view, class_id=(ann.view.row.class_id + 1) % 3)
    look(ann.store)
    return ann


def rows(store, limit=100, offset=0):
    found = list_suspects(store, limit, offset)
    assert found is not None
    return found.rows


def pool_row(store):
    return next(row for row in rows(store) if not row.is_imported)


def imported_row(store):
    return next(row for row in rows(store) if row.is_imported and row.suggested != row.class_id)


def send(ann, row, op_id="send-1"):
    return send_to_review(ann.store, SendRequest(op_id, row.id, **ann.name))


def image_of(store, image_id):
    with store.reader() as session:
        return session.get_one(Image, image_id)


def label_of(store, image_id):
    with store.reader() as session:
        return label_state(store, session, session.get_one(Image, image_id)).label


def test_nothing_is_listed_before_somebody_looked(template, tmp_path):
    assert list_suspects(copy_store(template, tmp_path), 10) is None


def test_the_list_has_ranks_pages_and_the_region_that_holds_a_part(ann):
    listed = list_suspects(ann.store, 3)
    assert (listed.model_id, listed.is_current, listed.min_area) == (1, True, 20)
    assert listed.num_listed == listed.num_parts == len(rows(ann.store))
    assert listed.num_images == 3, "two that came with labels and the one that Ann decided something in; no gold"
    assert [row.rank for row in listed.rows] == [1, 2, 3] and [row.rank for row in rows(ann.store, 2, 3)] == [4, 5]
    mine = pool_row(ann.store)
    assert (mine.region_id, mine.bbox, mine.area) == (ann.view.row.region_id, ann.view.row.bbox, ann.view.row.area)
    assert mine.suggested == ann.view.row.class_id and mine.page.startswith("/review?image_id=")
    assert {row.page for row in rows(ann.store) if row.is_imported} == {None}
    assert {row.answer for row in rows(ann.store)} == {SuspectAnswer.OPEN}


def test_a_part_that_was_drawn_beside_all_regions_is_listed_without_one(ann):
    image_id = pool_ids(ann.store)[0]
    band_mask = ann.service.image_planes(image_id).region_map == BAND
    ann.draw(image_id, delta_from_mask(band_mask, np.full(band_mask.shape, 2, np.uint8)))
    look(ann.store, min_area=1)
    beside = [row for row in rows(ann.store) if (row.image_id, row.class_id, row.region_id) == (image_id, 2, None)]
    assert sum(row.area for row in beside) == np.count_nonzero(band_mask) > 0


def test_a_new_look_takes_the_place_of_the_old_one_and_a_stopped_one_does_not(ann):
    before = [row.id for row in rows(ann.store)]
    with pytest.raises(WorkCancelledError):
        find_suspects(ann.store, None, Monitor(should_cancel=lambda: True), 20)
    assert [row.id for row in rows(ann.store)] == before
    look(ann.store, min_area=400)
    after = rows(ann.store)
    assert len(after) < len(before) and not {row.id for row in after} & set(before)


def test_progress_names_no_image_because_those_with_a_label_may_be_decoys(ann):
    told = []
    find_suspects(ann.store, None, Monitor(told.append), 20)
    with ann.store.reader() as session:
        names = session.scalars(select(Image.name)).all()
    assert {step.total for step in told} == {3} and not any(name in step.message for step in told for name in names)


def test_one_damaged_picture_is_named_and_the_others_are_looked_at(ann):
    damaged = image_of(ann.store, imported_row(ann.store).image_id)
    ann.store.workspace.absolute(damaged.path).write_bytes(b"no picture")
    found = find_suspects(ann.store, None, Monitor(), 20)
    assert [name for name, _ in found.failed] == [damaged.name] and found.num_images == 2
    assert keep_suspects(ann.store, found) == len(found.ranked) > 0


def test_parts_of_deleted_images_leave_the_list(ann):
    gone = imported_row(ann.store)
    delete_images(ann.store, LEA, [gone.image_name])
    left = list_suspects(ann.store, 100)
    assert gone.image_id not in {row.image_id for row in left.rows}
    assert left.num_listed == len(left.rows) < left.num_parts
    with pytest.raises(NotFoundError, match="read the list again"):
        say_right(ann.store, LEA, gone.id)


def test_a_part_that_was_corrected_since_says_so_and_others_of_its_image_do_not(ann):
    part = pool_row(ann.store)
    ann.decide(DecisionKind.RELABEL, ann.view, class_id=part.suggested)
    assert pool_row(ann.store).answer is SuspectAnswer.CHANGED
    with pytest.raises(NotFoundError, match="is another one there"):
        send(ann, part)
    ann.undo()
    assert pool_row(ann.store).answer is SuspectAnswer.OPEN


def test_a_later_proposal_does_not_make_a_part_another_one(ann, monkeypatch):
    monkeypatch.setattr(suspect_list_module, "find_part", None)  # Nor is a label read again for it.
    store_proposal(ann.store, pool_ids(ann.store)[0], 1, make_prediction(5))
    part = pool_row(ann.store)
    assert (part.answer, part.region_id) == (SuspectAnswer.OPEN, None)


def test_only_parts_without_an_answer_are_listed_where_these_are_asked_for(ann):
    everything = rows(ann.store)
    say_right(ann.store, LEA, everything[0].id)
    change_imported(ann.store, LEA, everything[2].id, None)
    left = [row.id for row in everything if row not in (everything[0], everything[2])]
    second = list_suspects(ann.store, 2, offset=1, only_open=True)
    assert ([row.id for row in second.rows], second.num_listed) == (left[1:3], len(left))


def test_importing_the_same_labels_again_leaves_a_changed_one_alone(ann, tmp_path):
    part = imported_row(ann.store)
    change_imported(ann.store, LEA, part.id, None)
    changed = label_of(ann.store, part.image_id)
    dataset = make_dataset(tmp_path / "again", ("labeled_0", "labeled_1", "gold_0"), ("pool_0",))
    report = import_dataset(ann.store, dataset, {"labeled_0", "labeled_1"}, {"gold_0"})
    assert (report.unchanged, report.refused) == (4, ())
    assert np.array_equal(label_of(ann.store, part.image_id), changed)


def test_what_is_right_stays_right_in_the_next_look_until_it_is_taken_back(ann):
    say_right(ann.store, LEA, imported_row(ann.store).id)
    first = imported_row(ann.store)
    assert (first.answer, first.answered_by) == (SuspectAnswer.RIGHT, "lea") and first.answered_at is not None
    look(ann.store)
    again = imported_row(ann.store)
    assert (again.answer, again.bbox) == (SuspectAnswer.RIGHT, first.bbox) and again.id != first.id
    take_back(ann.store, LEA, again.id)
    assert imported_row(ann.store).answer is SuspectAnswer.OPEN
    with pytest.raises(ReviewError, match="nobody has said"):
        take_back(ann.store, LEA, again.id)


@pytest.mark.usefixtures("each_database")
def test_no_program_can_change_or_remove_an_answer(ann):
    say_right(ann.store, LEA, imported_row(ann.store).id)
    with raw_connection(ann.store.workspace) as connection:
        for kind in ("update", "delete", "replace", "truncate"):
            with pytest.raises(IntegrityError, match="append-only"):
                connection.exec_driver_sql(
                    changing_statement(kind, "part_answer", "answered_by", connection.dialect.name)
                )
            connection.rollback()
    assert imported_row(ann.store).answered_by == "lea"


@pytest.mark.usefixtures("each_database")
def test_a_sent_part_waits_as_a_region_that_keeps_its_label_until_it_is_decided(ann):
    part, before = pool_row(ann.store), label_of(ann.store, pool_ids(ann.store)[0])
    result = send(ann, part)
    view = ann.service.region(result.region_id)
    assert (view.row.kind, view.row.state, view.row.area) == (RegionKind.FLAGGED, RegionState.OPEN, part.area)
    assert [top.class_id for top in view.top_classes] == [part.class_id, part.suggested]
    assert view.top_classes[0].probability == pytest.approx(1 - part.doubt)
    assert view.top_classes[1].probability == pytest.approx(ann.view.row.mean_confidence, abs=0.01)
    assert np.array_equal(label_of(ann.store, part.image_id), before)
    assert [flag.row.region_id for flag in list_flags(ann.store)] == [result.region_id]
    sent = pool_row(ann.store)
    assert (sent.answer, sent.region_id, sent.region_state) == (SuspectAnswer.SENT, result.region_id, RegionState.OPEN)
    ann.decide(DecisionKind.ACCEPT, view)
    assert np.array_equal(label_of(ann.store, part.image_id), before), "the label was right"
    assert pool_row(ann.store).region_state is RegionState.DECIDED
    ann.undo()
    ann.decide(DecisionKind.RELABEL, ann.service.region(result.region_id), class_id=part.suggested)
    assert pool_row(ann.store).answer is SuspectAnswer.CHANGED


def test_sending_is_taken_back_by_one_undo_to_the_bytes_from_before(ann):
    image_id = pool_ids(ann.store)[0]
    before = ann.state(image_id)
    send(ann, pool_row(ann.store))
    ann.undo()
    assert ann.state(image_id) == before
    assert pool_row(ann.store).answer is SuspectAnswer.OPEN
    send(ann, pool_row(ann.store), "send-2")
    assert pool_row(ann.store).answer is SuspectAnswer.SENT


def test_a_part_is_sent_once_and_not_while_it_waits(ann):
    part = pool_row(ann.store)
    assert [send(ann, part).replayed for _ in range(2)] == [False, True]
    look(ann.store)
    assert send(ann, part).replayed, "another look does not turn what was sent into an error"
    part = pool_row(ann.store)
    with pytest.raises(ReviewError, match="waits for a decision already"):
        send(ann, part, "send-2")
    with pytest.raises(ReviewError, match="decided there"):
        take_back(ann.store, LEA, part.id)
    with pytest.raises(ReviewError, match="ann sent this part of pool_0 to review"):
        say_right(ann.store, LEA, part.id)
    ann.undo()
    say_right(ann.store, LEA, part.id)


def test_a_region_all_of_whose_pixels_were_sent_can_still_be_closed_and_predicted_again(ann):
    result = send(ann, pool_row(ann.store))
    ann.service.undo(**ann.name, op_id="undo-1", target_id="ann-tab-1-0")
    assert ann.service.region(ann.view.row.region_id).row.state is RegionState.OPEN
    ann.decide(DecisionKind.DONT_KNOW, ann.service.region(ann.view.row.region_id))
    store_proposal(ann.store, pool_ids(ann.store)[0], 1, make_prediction(5))
    with ann.store.reader() as session:
        later = session.scalars(select(Region.origin_id).where(Region.origin_id.is_not(None))).all()
    assert later == [result.region_id]


def test_a_sent_part_keeps_the_label_that_it_is_about_when_another_model_proposes(ann):
    part = pool_row(ann.store)
    send(ann, part)
    store_proposal(ann.store, part.image_id, 1, make_prediction(0))
    view = ann.service.region(pool_row(ann.store).region_id)
    assert (view.row.kind, view.row.class_id) == (RegionKind.FLAGGED, part.class_id), "what the reviewer says it is"
    said = {top.class_id: top.probability for top in view.top_classes}
    assert view.row.mean_confidence == pytest.approx(said[part.class_id]) and said[part.suggested] > said[part.class_id]
    ann.decide(DecisionKind.ACCEPT, view)
    x0, y0, x1, y1 = part.bbox
    assert np.count_nonzero(label_of(ann.store, part.image_id)[y0:y1, x0:x1] == part.class_id) == part.area


def test_an_empty_region_is_closed_without_pixels(ann):
    send(ann, pool_row(ann.store))
    ann.service.undo(**ann.name, op_id="undo-1", target_id="ann-tab-1-0")
    before = label_of(ann.store, pool_ids(ann.store)[0])
    result = ann.decide(DecisionKind.VOID, ann.service.region(ann.view.row.region_id))
    assert result.region_state is RegionState.DECIDED
    assert np.array_equal(label_of(ann.store, pool_ids(ann.store)[0]), before)


def test_imported_labels_are_changed_and_not_sent_and_peoples_the_other_way_round(ann):
    with pytest.raises(ReviewError, match="came with it"):
        send(ann, imported_row(ann.store))
    with pytest.raises(ReviewError, match="send the part to review"):
        change_imported(ann.store, LEA, pool_row(ann.store).id, 0)
    with pytest.raises(ReviewError, match="must be 0-2 or null, got 3"):
        change_imported(ann.store, LEA, imported_row(ann.store).id, 3)
    with pytest.raises(ReviewError, match="already; nothing was changed"):
        change_imported(ann.store, LEA, imported_row(ann.store).id, imported_row(ann.store).class_id)


@pytest.mark.parametrize("to", ["suggested", "void"])
def test_a_changed_import_trains_counts_and_is_logged_and_its_first_file_stays(ann, tmp_path, to):
    part = imported_row(ann.store)
    before, old = image_of(ann.store, part.image_id), label_of(ann.store, part.image_id)
    change_imported(ann.store, LEA, part.id, part.suggested if to == "suggested" else None)
    image, now = image_of(ann.store, part.image_id), label_of(ann.store, part.image_id)
    expected = part.suggested if to == "suggested" else IGNORE_INDEX
    assert np.count_nonzero(now != old) == part.area and set(now[now != old].tolist()) == {expected}
    assert image.class_pixels[part.class_id] == before.class_pixels[part.class_id] - part.area
    content = ann.store.workspace.absolute(image.label_path).read_bytes()
    assert hashlib.sha256(content).hexdigest() == image.label_sha256 != before.label_sha256
    assert np.array_equal(read_plane(ann.store.workspace.absolute(before.label_path)), old)
    entries = {entry.sample_id: entry for entry in training_entries(ann.store, tmp_path / "frozen", pseudo=True)}
    assert np.array_equal(read_plane(entries[image.sample_id].label), now)
    with ann.store.reader() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.LABEL_CHANGED)).one()
    assert (entry.actor, entry.details["from"], entry.details["pixels"]) == ("lea", part.class_id, part.area)
    changed = next(row for row in rows(ann.store) if row.id == part.id)
    assert (changed.answer, changed.answered_by) == (SuspectAnswer.CHANGED, "lea")


def test_another_label_is_another_file_also_after_a_snapshot_was_restored(ann):
    part = imported_row(ann.store)
    snapshot, paths = take_snapshot(ann.store, "asked for", "lea"), []
    for class_id in (part.suggested, None):
        change_imported(ann.store, LEA, part.id, class_id)
        paths.append(image_of(ann.store, part.image_id).label_path)
        restore_snapshot(ann.store, snapshot.number, LEA, Monitor())
    assert paths[0] != paths[1], "rounds know by the file which label they froze"


def test_a_change_is_taken_back_last_one_first(ann):
    of_one = [row for row in rows(ann.store) if row.image_id == imported_row(ann.store).image_id]
    first, second = of_one[:2]
    before = label_of(ann.store, first.image_id)
    for part in (first, second):
        change_imported(ann.store, LEA, part.id, None)
    with pytest.raises(ConflictError, match="changed again since"):
        take_back(ann.store, LEA, first.id)
    for part in (second, first):
        take_back(ann.store, LEA, part.id)
    assert np.array_equal(label_of(ann.store, first.image_id), before)
    assert {row.answer for row in rows(ann.store)} == {SuspectAnswer.OPEN}


def test_a_part_that_the_label_has_again_can_be_answered_again(ann):
    part = next(row for row in rows(ann.store) if row.is_imported)
    change_imported(ann.store, LEA, part.id, (part.class_id + 1) % 3)
    with ann.store.session() as session:  # As after a purge and another import: the file that it came with.
        image = session.get_one(Image, part.image_id)
        image.label_path = ann.store.workspace.relative(ann.store.workspace.labels / f"{image.sha256}.png")
    look(ann.store)
    again = next(row for row in rows(ann.store) if (row.image_id, row.bbox) == (part.image_id, part.bbox))
    assert (again.class_id, again.answer, again.answered_by) == (part.class_id, SuspectAnswer.OPEN, None)
    change_imported(ann.store, LEA, again.id, None)
    assert next(row for row in rows(ann.store) if row.id == again.id).answer is SuspectAnswer.CHANGED


def test_a_label_file_that_is_gone_is_named_and_nothing_is_changed(ann):
    part = imported_row(ann.store)
    files = [ann.store.workspace.absolute(image_of(ann.store, part.image_id).label_path)]
    change_imported(ann.store, LEA, part.id, None)
    files.append(ann.store.workspace.absolute(image_of(ann.store, part.image_id).label_path))
    for file in files:
        file.unlink()
    with pytest.raises(ConflictError, match=f"{files[0]}.*so the change stays"):
        take_back(ann.store, LEA, part.id)
    other = next(row for row in rows(ann.store) if row.image_id == part.image_id and row.id != part.id)
    with pytest.raises(NotFoundError, match=f"{files[1]}.*import the same folder again"):
        say_right(ann.store, LEA, other.id)
    with ann.store.reader() as session:
        assert part_mask(ann.store, session, *find_row(session, other.id)) is None


def test_purging_an_image_removes_every_file_that_its_label_ever_was(ann, monkeypatch):
    part, before = imported_row(ann.store), take_snapshot(ann.store, "asked for", "lea")
    change_imported(ann.store, LEA, part.id, None)
    files = list(ann.store.workspace.labels.glob(f"{image_of(ann.store, part.image_id).sha256}*"))
    assert len(files) == 2
    restore_snapshot(ann.store, before.number, LEA, Monitor())  # No row knows of the second file any more.
    delete_images(ann.store, LEA, [part.image_name])
    monkeypatch.setattr("app.services.deleting.MIN_DAYS", 0)
    purge_images(ann.store, LEA, 0)
    assert not any(path.exists() for path in files)


def test_planted_errors_control_images_and_gold_are_not_told(tmp_path, monkeypatch):
    store = copy_scene(make_scene(tmp_path, pool=10, trust=PROBES), tmp_path / "copy")
    says(monkeypatch, nothing_known(SIZE_HW, 11))
    for image_id in control_ids(store):
        Reviewer(store, "ben").draw(image_id, Delta(0, 0, np.full(SIZE_HW, 3, np.uint8)))
    look(store, min_area=1)
    listed = rows(store, limit=1000)
    with store.reader() as session:
        planted = session.scalars(select(Region).where(Region.kind == RegionKind.PLANTED)).all()
        roles = {image.id: image.role for image in session.scalars(select(Image))}
    assert len(planted) > 0 and len(control_ids(store)) > 0
    assert {roles[row.image_id] for row in listed} == {ImageRole.LABELED}
    labels = {image_id: read_plane(store.workspace.absolute(image_of(store, image_id).label_path)) for image_id in
              {row.image_id for row in listed}}  # fmt: skip
    for image_id, label in labels.items():
        areas = np.bincount(label.reshape(-1), minlength=256)
        told = np.zeros(256, np.int64)
        for row in listed:
            if row.image_id == image_id:
                told[row.class_id] += row.area
        assert np.array_equal(told, areas), "the imported label, pixel by pixel, whatever is planted in it"
