"""Audits, planted errors and control images: drawn by chance, decided like any region, and what becomes of labels."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from app.__main__ import application
from app.domain.decisions import delta_from_mask
from app.domain.queue import diversified_scores, expected_errors
from app.domain.states import PROBE_KINDS, DecisionKind, ImageRole, ImageState, ModelStatus, RegionKind, RegionState
from app.services.action_log import read_actions
from app.services.assigning import ImageFilter, image_ids, list_image_work
from app.services.coco_export import export_coco
from app.services.controls import choose_controls
from app.services.labels import active_proposal, label_state, training_entries
from app.services.probe_mixing import activate_probes
from app.services.probe_outcomes import LOOK_AHEAD
from app.services.proposals import read_rarity, store_proposal
from app.services.quality_report import quality_report
from app.services.restoring import restore_proposals
from app.services.review_states import refresh_states
from app.services.review_types import NotFoundError, QueueFilter, ReviewError
from app.services.reviewing import ReviewService
from app.storage.database import Store
from app.storage.models import Image, Proposal, Region, utc_now
from app.storage.people import Lease
from app.storage.planes import StoredPlanes
from app.storage.probes import ControlImage, DecoyImage, Probe
from app.storage.settings import read_review_settings
from app.storage.trust_settings import TrustSettings, read_trust_settings
from datasets.files import sha256_of, write_atomically
from datasets.images import encode_plane_png, read_plane
from datasets.labels import IGNORE_INDEX, Provenance
from tests.browser.workspace import NAMES, add_model, predict_scene
from tests.unit.made_workspace import make_prediction, make_store, mask_of, pool_ids, set_trust
from tests.unit.trust_cases import (
    SEED,
    TRUST,
    Annotator,
    Scene,
    control_ids,
    copy_scene,
    image_named,
    kind_of,
    make_scene,
    predict,
    probes,
    roles,
)  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("probes"), pool=10)


@pytest.fixture
def store(scene: Scene, tmp_path: Path):
    store = copy_scene(scene, tmp_path)
    yield store
    store.close()


@pytest.fixture
def ann(store: Store) -> Annotator:
    return Annotator(store)


def first(store: Store, ann: Annotator, kind: RegionKind):
    """A probe of a kind as the reviewer opens it; activated already."""
    region = next(region for region, probe in probes(store, kind) if probe.is_active)
    return ann.service.region(region.id)


def last_action(store: Store):
    return list(read_actions(store))[-1]


def real_label(store: Store, image_id: int):
    with store.reader() as session:
        return label_state(store, session, session.get_one(Image, image_id))


def said_by_model(store: Store, image_id: int) -> StoredPlanes:
    """What the model really proposed for an image."""
    with store.reader() as session:
        proposal = active_proposal(session, image_id)
        return StoredPlanes(store.workspace.absolute(proposal.folder))


def frozen(store: Store, folder: Path) -> dict[str, tuple[str | None, ...]]:
    """Hashes of everything that training would read, by image."""

    def digest(path: Path | None) -> str | None:
        return None if path is None else sha256_of(path)

    return {
        entry.sample_id: (digest(entry.label), digest(entry.provenance), digest(entry.weight))
        for entry in training_entries(store, folder, pseudo=True)
    }


# --- drawing ---


def test_audits_are_drawn_from_reliable_pixels_and_say_how(store: Store) -> None:
    drawn = probes(store, RegionKind.AUDIT)
    assert len(drawn) > 15
    for region, probe in drawn:
        with store.reader() as session:
            planes = StoredPlanes(store.workspace.absolute(session.get_one(Proposal, region.proposal_id).folder))
        for x, y in probe.facts["drawn"]:
            assert planes.reliable[y, x] and planes.label[y, x] == region.class_id
        with store.reader() as session:
            filled = {"batch": read_trust_settings(session).mixed_up_to} if probe.is_active else {}
        assert probe.chance == {
            "rule": "each reliable pixel with the same chance", "seed": SEED, "intensity": 1 / 4000, "model_id": 1,
            "threshold": None, **filled,
        }  # fmt: skip
        assert probe.facts["mean_confidence"] > 0.8 > region.mean_confidence


def test_the_same_seed_draws_the_same_and_another_one_does_not(scene: Scene, tmp_path: Path) -> None:
    def drawn(seed: int, name: str) -> list:
        made = make_scene(tmp_path / name, pool=3, trust=TRUST.model_copy(update={"seed": seed}))
        store = copy_scene(made, tmp_path / f"{name}-copy")
        found = [
            (probe.draw_order, probe.facts, region.bbox)
            for kind in (RegionKind.AUDIT, RegionKind.PLANTED)
            for region, probe in probes(store, kind)
        ]
        store.close()
        return found

    assert drawn(1, "one") == drawn(1, "again") != drawn(2, "other")


def test_without_audits_nothing_is_drawn_and_regions_keep_their_numbers(tmp_path: Path) -> None:
    only_audits = TRUST.model_copy(update={"planted_share": 0.0})
    with_audits = copy_scene(make_scene(tmp_path / "a", pool=2, trust=only_audits), tmp_path / "a-copy")
    none = TRUST.model_copy(update={"audit_share": 0.0, "planted_share": 0.0})
    without = copy_scene(make_scene(tmp_path / "b", pool=2, trust=none), tmp_path / "b-copy")
    assert probes(without, RegionKind.AUDIT) == probes(without, RegionKind.PLANTED) == []

    def queued(store: Store) -> list:
        rows = Annotator(store).service.queue(QueueFilter(state=RegionState.OPEN), limit=500)
        own = [row for row in rows if kind_of(store, row.region_id) is RegionKind.QUEUE]
        return [(row.sample_id, row.area, row.bbox, row.score) for row in own]

    assert queued(without) == queued(with_audits) != []


@pytest.mark.usefixtures("each_database")
def test_as_many_audits_are_put_into_the_queue_as_it_needs_in_the_order_of_drawing(store: Store) -> None:
    with store.reader() as session:
        waiting = select(Region).join(Image, Image.id == Region.image_id).where(Region.state == RegionState.OPEN)
        in_queue = session.scalars(waiting.where(Image.state == ImageState.OPEN)).all()
    others = [region for region in in_queue if region.kind in (RegionKind.QUEUE, RegionKind.PLANTED)]
    drawn = probes(store, RegionKind.AUDIT)
    active = [probe.is_active for _, probe in drawn]
    assert abs(sum(active) - 0.05 / 0.95 * len(others)) < 1
    assert active == sorted(active, reverse=True)  # The first in the order of drawing.
    scores = [region.score for region, probe in drawn if probe.is_active]
    assert scores == sorted(scores, reverse=True)
    assert max(region.score for region in others) * 1.01 > scores[0] and scores[-1] > min(r.score for r in others)


def test_no_audit_ever_joins_an_image_that_people_know(store: Store, scene: Scene) -> None:
    """Neither when the share grows, nor when others are decided, nor together with new images."""
    known = {region.id for region, probe in probes(store, RegionKind.AUDIT) if probe.is_active}
    annotator = Annotator(store)
    for _ in range(60):
        annotator.take()
    with store.reader() as session:
        trust = read_trust_settings(session)
    set_trust(store, trust.model_copy(update={"audit_share": 0.2}))
    activate_probes(store)
    new = image_named(store, "pool_01").id
    store_proposal(store, new, 1, predict_scene(scene.truth["pool_01"], np.random.default_rng(5)))
    activate_probes(store)
    joined = [region for region, probe in probes(store, RegionKind.AUDIT) if probe.is_active and region.id not in known]
    assert joined and {region.image_id for region in joined} == {new}


def test_no_audit_joins_an_image_that_somebody_opened_before_it_could(store: Store, scene: Scene) -> None:
    known = {region.id for region, _ in probes(store, RegionKind.AUDIT)}
    set_trust(store, TRUST.model_copy(update={"audit_share": 0.2, "intensity": 1 / 200}))
    opened, other = (image_named(store, name).id for name in ("pool_01", "pool_02"))
    with store.session() as session:  # Whoever has been at it since before knows nothing of what comes.
        session.add(Lease(image_id=other, holder="ana", tab="t", taken_at=utc_now(), beats=1))
    for name in ("pool_01", "pool_02"):
        made = predict_scene(scene.truth[name], np.random.default_rng(5))
        store_proposal(store, image_named(store, name).id, 1, made)
    with store.session() as session:
        session.add(Lease(image_id=opened, holder="ben", tab="t", taken_at=utc_now(), beats=1))
    activate_probes(store)
    drawn = [(region, probe) for region, probe in probes(store, RegionKind.AUDIT) if region.id not in known]
    assert {region.image_id for region, _ in drawn} == {opened, other}
    assert {region.image_id for region, probe in drawn if probe.is_active} == {other}


def test_labeled_images_become_decoys_until_planted_errors_are_enough(store: Store, scene: Scene) -> None:
    with store.reader() as session:
        decoys = set(session.scalars(select(DecoyImage.image_id)))
        numbers = Counter(session.scalars(select(Region.kind).where(Region.state == RegionState.OPEN)))
    planted, regions = numbers[RegionKind.PLANTED], numbers[RegionKind.PLANTED] + numbers[RegionKind.QUEUE]
    assert 0 < len(decoys) < 6 and {roles(store)[image_id] for image_id in decoys} == {ImageRole.LABELED}
    assert 0.04 <= planted / regions < 0.12
    predict(store, scene.truth, add_model(store, 2, ModelStatus.CANDIDATE, miou=0.7))
    with store.reader() as session:
        assert set(session.scalars(select(DecoyImage.image_id))) >= decoys


def test_a_decoy_is_found_by_its_name_and_counted_like_the_pool(store: Store) -> None:
    with store.reader() as session:
        chosen = select(Image.id, Image.sample_id).join(DecoyImage, DecoyImage.image_id == Image.id)
        decoys = {row.sample_id: row.id for row in session.execute(chosen)}
        other = session.scalars(select(Image.sample_id).where(Image.sample_id.like("a_%"))).all()
    listed = {work.sample_id: work.image_id for work in list_image_work(store)}
    assert decoys.items() <= listed.items()
    assert image_ids(store, list(listed)) == list(listed.values())
    assert ReviewService(store).counts().images == len(listed)
    with pytest.raises(NotFoundError, match="to review"):
        image_ids(store, sorted(set(other) - set(decoys)))
    root = str(store.workspace.root)
    said = CliRunner().invoke(application, ["status", "-w", root]).stdout
    assert (
        f"To review: {len(listed)} images, the pool and {len(decoys)} labeled image{'s' * (len(decoys) > 1)} where "
        in " ".join(said.split())
    )
    named = sorted(decoys)[0]
    assert CliRunner().invoke(application, ["images", "assign", named, "--to", "ann", "-w", root]).exit_code == 0
    assert [work.sample_id for work in list_image_work(store, ImageFilter(assignee="ann"))] == [named]


def test_a_decoy_stays_one_without_errors_when_none_are_wanted_any_more(store: Store, scene: Scene) -> None:
    """If it left the lists, everybody would know what it was."""
    with store.reader() as session:
        decoys = set(session.scalars(select(DecoyImage.image_id)))
    set_trust(store, TRUST.model_copy(update={"planted_share": 0.0}))
    predict(store, scene.truth, add_model(store, 2, ModelStatus.CANDIDATE, miou=0.7))
    assert decoys <= {work.image_id for work in list_image_work(store)}
    assert not [region for region, _ in probes(store, RegionKind.PLANTED) if region.state is RegionState.OPEN]


def test_going_back_to_an_earlier_model_brings_a_decoys_regions_back_as_those_of_the_pool(store: Store, scene: Scene):
    """Decoys would be the images whose regions are new."""
    before = {row.region_id for row in ReviewService(store).queue(QueueFilter(), limit=500)}
    predict(store, scene.truth, add_model(store, 2, ModelStatus.CANDIDATE, miou=0.7))
    num_pool = sum(role is ImageRole.POOL for role in roles(store).values())
    assert restore_proposals(store, 1) == num_pool
    assert {row.region_id for row in ReviewService(store).queue(QueueFilter(), limit=500)} == before


def test_decoys_join_only_with_new_images_or_where_there_are_none(store: Store, scene: Scene) -> None:
    """One that appeared among images that everybody knows would be one that came with a label."""
    listed = {work.image_id for work in list_image_work(store)}
    set_trust(store, TRUST.model_copy(update={"planted_share": 0.2}))
    predict(store, scene.truth, add_model(store, 2, ModelStatus.CANDIDATE, miou=0.7))
    assert {work.image_id for work in list_image_work(store)} == listed
    with store.session() as session:  # As after an upgrade from a version that had no decoys.
        for decoy in session.scalars(select(DecoyImage)).all():
            session.delete(decoy)
    assert len(list_image_work(store)) == len(roles(store)) - 1, "all but the gold image"
    predict(store, scene.truth, add_model(store, 3, ModelStatus.CANDIDATE, miou=0.7))
    with store.reader() as session:
        assert session.scalar(select(func.count()).select_from(DecoyImage)) > 0


def test_before_anything_is_drawn_every_labeled_image_could_become_a_decoy(tmp_path: Path) -> None:
    fresh = TrustSettings(audit_share=0.05, planted_share=0.04, control_share=0.0)
    store = make_store(tmp_path, ("pool_0", "pool_1"), fresh)
    before = {work.sample_id: work.state for work in list_image_work(store)}
    assert before == dict.fromkeys(("labeled_0", "labeled_1", "pool_0", "pool_1"), ImageState.WAITING)
    assert ReviewService(store).counts().images_waiting == 4
    first, last = pool_ids(store)
    store_proposal(store, first, 1, make_prediction(0))
    assert len(list_image_work(store)) == 4
    decoy = next(image_id for image_id, role in roles(store).items() if role is ImageRole.LABELED)
    store_proposal(store, decoy, 1, make_prediction(2))
    store_proposal(store, last, 1, make_prediction(1))
    assert {work.image_id for work in list_image_work(store)} == {first, last, decoy}


def test_seed_and_intensity_are_recorded_once(tmp_path: Path) -> None:
    fresh = TRUST.model_copy(update={"seed": None, "intensity": None})
    store = copy_scene(make_scene(tmp_path / "made", pool=2, trust=fresh), tmp_path / "copy")
    with store.reader() as session:
        found = read_trust_settings(session)
    assert found.seed is not None and found.intensity == pytest.approx(8 / (120 * 160))
    predict(store, make_scene(tmp_path / "again", pool=2).truth, 1)
    with store.reader() as session:
        again = read_trust_settings(session)
    assert (again.seed, again.intensity) == (found.seed, found.intensity)


# --- audits ---


def test_an_audit_nobody_decided_changes_neither_label_nor_training(store: Store, ann: Annotator) -> None:
    view = first(store, ann, RegionKind.AUDIT)
    shown = ann.service.image_planes(view.row.image_id)
    mask = mask_of(shown, view)
    assert not shown.reliable[mask].any()
    assert (real_label(store, view.row.image_id).provenance[mask] == Provenance.PSEUDO).all()


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        (DecisionKind.ACCEPT, {}, 0),
        (DecisionKind.RELABEL, {"class_id": 9}, 1),
        (DecisionKind.DONT_KNOW, {}, None),
        (DecisionKind.SKIP, {}, None),
    ],
)
def test_an_audit_is_wrong_when_the_person_gives_the_drawn_pixel_another_class(store, ann, kind, fields, wrong):
    view = first(store, ann, RegionKind.AUDIT)
    ann.decide(kind, view, **fields)
    action = last_action(store)
    assert action.region_kind is RegionKind.AUDIT
    assert (action.audited_pixels, action.wrong_pixels) == ((0, 0) if wrong is None else (1, wrong))


def test_void_says_nothing_about_an_audit(store: Store, ann: Annotator) -> None:
    ann.decide(DecisionKind.VOID, first(store, ann, RegionKind.AUDIT))
    assert (last_action(store).audited_pixels, last_action(store).wrong_pixels) == (0, 0)


@pytest.mark.parametrize("covers_drawn_pixel", [True, False])
def test_of_a_drawing_only_the_drawn_pixel_counts(store: Store, ann: Annotator, covers_drawn_pixel: bool) -> None:
    view = first(store, ann, RegionKind.AUDIT)
    with store.reader() as session:
        ((x, y), *_) = session.get_one(Probe, view.row.region_id).facts["drawn"]
    mask = mask_of(ann.service.image_planes(view.row.image_id), view)
    painted = np.zeros(mask.shape, np.bool_)
    painted[y, x] = True
    if not covers_drawn_pixel:
        painted = mask & ~painted
    drawn = delta_from_mask(painted, np.full(mask.shape, (view.row.class_id + 1) % len(NAMES), np.uint8))
    ann.decide(DecisionKind.DRAW, view, delta=drawn, closes_region=True)
    assert (last_action(store).audited_pixels, last_action(store).wrong_pixels) == (1, int(covers_drawn_pixel))


def test_strokes_before_the_end_count_with_it(store: Store, ann: Annotator) -> None:
    """The page saves every stroke by itself, and then the end of the drawing without pixels."""
    view = first(store, ann, RegionKind.AUDIT)
    mask = mask_of(ann.service.image_planes(view.row.image_id), view)
    drawn = delta_from_mask(mask, np.full(mask.shape, (view.row.class_id + 1) % len(NAMES), np.uint8))
    ann.decide(DecisionKind.DRAW, view, delta=drawn)
    assert last_action(store).audited_pixels == 0
    ann.decide(DecisionKind.DRAW, view, closes_region=True)
    assert (last_action(store).audited_pixels, last_action(store).wrong_pixels) == (1, 1)


@pytest.mark.usefixtures("each_database")
def test_what_a_person_found_wrong_is_corrected_in_the_label(store: Store, ann: Annotator, tmp_path: Path) -> None:
    view = first(store, ann, RegionKind.AUDIT)
    mask = mask_of(ann.service.image_planes(view.row.image_id), view)
    before = real_label(store, view.row.image_id)
    ann.decide(DecisionKind.RELABEL, view, class_id=9)
    after = real_label(store, view.row.image_id)
    assert (after.label[mask] == 9).all() and (after.provenance[mask] == Provenance.HUMAN).all()
    assert (after.label[~mask] == before.label[~mask]).all()
    ann.undo()
    assert np.array_equal(real_label(store, view.row.image_id).label, before.label)
    assert ann.service.region(view.row.region_id).row.state is RegionState.OPEN


def test_the_log_keeps_what_the_model_said_and_not_what_was_shown(store: Store, ann: Annotator) -> None:
    view = first(store, ann, RegionKind.AUDIT)
    ann.decide(DecisionKind.ACCEPT, view)
    action = last_action(store)
    assert action.mean_reliability > 0.8 > view.row.mean_confidence
    assert action.top_classes[0][1] > 0.8
    assert (action.area, action.predicted_class) == (view.row.area, view.row.class_id)


def test_an_image_stays_open_while_an_audit_waits_in_it_however_little_else_does(store: Store, ann: Annotator) -> None:
    """Whatever a region is for, an image is as far as it looks."""
    view = first(store, ann, RegionKind.AUDIT)
    for row in ann.service.queue(QueueFilter(image_id=view.row.image_id)):
        if row.region_id != view.row.region_id:
            assert ann.decide(DecisionKind.ACCEPT, ann.service.region(row.region_id)).image_state is ImageState.OPEN
    (left,) = ann.service.queue(QueueFilter(image_id=view.row.image_id))
    assert left.region_id == view.row.region_id
    assert ann.decide(DecisionKind.ACCEPT, ann.service.region(left.region_id)).image_state is ImageState.DONE


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("kind", [RegionKind.AUDIT, RegionKind.PLANTED])
def test_accepting_the_rest_does_to_a_probe_what_it_does_to_every_region(store, ann, kind) -> None:
    view = first(store, ann, kind)
    rows = ann.service.queue(QueueFilter(image_id=view.row.image_id))
    other = next(row for row in rows if kind_of(store, row.region_id) is RegionKind.QUEUE)
    version = ann.service.image(view.row.image_id).image_version
    before = ann.service.image_planes(view.row.image_id)
    ann.service.accept_rest(view.row.image_id, version, **ann.name, op_id="rest")
    assert ann.service.queue(QueueFilter(image_id=view.row.image_id, include_enough=True)) == []
    after = ann.service.image_planes(view.row.image_id)
    assert np.array_equal(before.region_map, after.region_map) and np.array_equal(before.label, after.label)
    assert ann.service.region(view.row.region_id).row.state is ann.service.region(other.region_id).row.state
    ann.undo()
    assert ann.service.queue(QueueFilter(image_id=view.row.image_id)) == rows


@pytest.mark.usefixtures("each_database")
def test_a_new_proposal_replaces_what_waits_and_draws_anew(store: Store, ann: Annotator, scene: Scene) -> None:
    view = first(store, ann, RegionKind.AUDIT)
    decided = first(store, ann, RegionKind.PLANTED)
    ann.decide(DecisionKind.ACCEPT, decided)
    predict(store, scene.truth, add_model(store, 2, ModelStatus.CANDIDATE, miou=0.7))
    with store.reader() as session:
        assert session.get_one(Region, view.row.region_id).state is RegionState.SUPERSEDED
        assert session.get_one(Region, decided.row.region_id).state is RegionState.DECIDED
    by_model = Counter(probe.chance["model_id"] for _, probe in probes(store, RegionKind.AUDIT))
    assert set(by_model) == {1, 2}


def test_an_audit_that_somebody_did_not_know_becomes_a_doubt_of_the_next_proposal(store, ann, scene) -> None:
    view = first(store, ann, RegionKind.AUDIT)
    ann.decide(DecisionKind.DONT_KNOW, view)
    image = image_named(store, view.row.sample_id)
    mask = mask_of(ann.service.image_planes(image.id), view)
    store_proposal(store, image.id, 1, predict_scene(scene.truth[image.sample_id], np.random.default_rng(5)))
    (row,) = ann.service.queue(QueueFilter(state=RegionState.SECOND_REVIEW))
    assert kind_of(store, row.region_id) is RegionKind.QUEUE
    assert np.array_equal(ann.service.image_planes(image.id).region_map == row.number, mask)


# --- planted errors ---


def test_planted_errors_stand_in_labeled_images_and_are_wrong(store: Store, scene: Scene) -> None:
    planted = probes(store, RegionKind.PLANTED)
    assert len(planted) >= 4
    kinds = roles(store)
    for region, probe in planted:
        assert kinds[region.image_id] is ImageRole.LABELED
        assert region.class_id != probe.facts["true_class"]
        assert region.top_classes[0][0] == region.class_id


@pytest.mark.parametrize(
    ("kind", "fields", "caught"),
    [
        (DecisionKind.ACCEPT, {}, False),
        (DecisionKind.RELABEL, {"class_id": "true"}, True),
        (DecisionKind.RELABEL, {"class_id": "other"}, True),
        (DecisionKind.VOID, {}, True),
        (DecisionKind.DONT_KNOW, {}, None),
        (DecisionKind.SKIP, {}, None),
    ],
    ids=["accept", "right class", "another class", "void", "don't know", "skip"],
)
def test_a_planted_error_is_caught_unless_its_class_is_accepted(store, ann, kind, fields, caught):
    view = first(store, ann, RegionKind.PLANTED)
    with store.reader() as session:
        truth = session.get_one(Probe, view.row.region_id).facts["true_class"]
    if "class_id" in fields:
        others = set(range(len(NAMES))) - {truth, view.row.class_id}
        fields = {"class_id": truth if fields["class_id"] == "true" else min(others)}
    ann.decide(kind, view, **fields)
    action = last_action(store)
    assert (action.region_kind, action.caught) == (RegionKind.PLANTED, caught)
    assert action.predicted_class in (truth, view.row.class_id)


@pytest.mark.parametrize(("share", "caught"), [(0.4, False), (0.6, True)])
def test_a_planted_error_is_caught_by_drawing_when_half_of_it_is_gone(store, ann, share, caught):
    view = first(store, ann, RegionKind.PLANTED)
    mask = mask_of(ann.service.image_planes(view.row.image_id), view)
    rows, columns = np.nonzero(mask)
    part = slice(0, round(share * rows.size))
    painted = np.zeros(mask.shape, np.bool_)
    painted[rows[part], columns[part]] = True
    drawn = delta_from_mask(painted, np.full(mask.shape, (view.row.class_id + 1) % len(NAMES), np.uint8))
    ann.decide(DecisionKind.DRAW, view, delta=drawn, closes_region=True)
    assert last_action(store).caught is caught


def test_what_was_planted_tells_nothing_where_the_imported_label_was_changed_to_it(store, ann):
    view = first(store, ann, RegionKind.PLANTED)
    with store.reader() as session:
        path = store.workspace.absolute(session.get_one(Image, view.row.image_id).label_path)
    mask = mask_of(ann.service.image_planes(view.row.image_id), view)
    changed = np.where(mask, np.uint8(view.row.class_id), read_plane(path))
    write_atomically(path, encode_plane_png(changed))
    ann.decide(DecisionKind.ACCEPT, view)
    assert last_action(store).caught is None


def test_a_planted_error_whose_imported_label_is_gone_is_decided_like_any_region(store, ann):
    view = first(store, ann, RegionKind.PLANTED)
    with store.reader() as session:
        store.workspace.absolute(session.get_one(Image, view.row.image_id).label_path).unlink()
    assert ann.decide(DecisionKind.ACCEPT, view).region_state is RegionState.DECIDED
    assert last_action(store).caught is None


def test_whatever_anybody_answers_a_planted_error_never_reaches_label_training_or_export(store, ann, tmp_path):
    images = {region.image_id for region, _ in probes(store, RegionKind.PLANTED)}
    with store.reader() as session:
        names = {session.get_one(Image, image_id).sample_id for image_id in images}
    before = frozen(store, tmp_path / "before")
    export_coco(store, tmp_path / "coco-before", "all")
    active = [region for region, probe in probes(store, RegionKind.PLANTED) if probe.is_active]
    for index, region in enumerate(active):
        view = ann.service.region(region.id)
        mask = mask_of(ann.service.image_planes(region.image_id), view)
        beyond = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) > 0
        drawn = delta_from_mask(beyond, np.full(mask.shape, 10, np.uint8))
        if index % 4 == 0:
            ann.decide(DecisionKind.ACCEPT, view)
        elif index % 4 == 1:
            ann.decide(DecisionKind.RELABEL, view, class_id=10)
        elif index % 4 == 2:
            ann.decide(DecisionKind.VOID, view)
        else:
            ann.decide(DecisionKind.DRAW, view, delta=drawn, closes_region=True, lock_override=True)
    ann.draw(active[0].image_id, delta_from_mask(np.ones(mask.shape, np.bool_), np.full(mask.shape, 10, np.uint8)),
             lock_override=True)  # fmt: skip
    assert len(active) > 3
    after = frozen(store, tmp_path / "after")
    export_coco(store, tmp_path / "coco-after", "all")
    assert after == before
    for name in names:
        one, other = (tmp_path / which / "masks" / f"{name}.png" for which in ("coco-before", "coco-after"))
        assert one.read_bytes() == other.read_bytes()
    assert (tmp_path / "coco-before" / "annotations.json").read_bytes() == (
        tmp_path / "coco-after" / "annotations.json"
    ).read_bytes()


def test_the_person_sees_their_own_answer_to_a_planted_error(store: Store, ann: Annotator) -> None:
    view = first(store, ann, RegionKind.PLANTED)
    before = ann.service.image_planes(view.row.image_id)
    mask = mask_of(before, view)
    assert (before.label[mask] == view.row.class_id).all()
    ann.decide(DecisionKind.RELABEL, view, class_id=10)
    shown = ann.service.image_planes(view.row.image_id)
    assert (shown.label[mask] == 10).all() and (shown.provenance[mask] == Provenance.HUMAN).all()
    ann.undo()
    assert np.array_equal(ann.service.image_planes(view.row.image_id).label, before.label)


def test_the_other_regions_of_a_decoy_wait_like_those_of_the_pool(store: Store, ann: Annotator) -> None:
    """Without them an image would hold fewer regions than others, and nothing but errors."""
    for image_id in {region.image_id for region, _ in probes(store, RegionKind.PLANTED)}:
        rows = ann.service.queue(QueueFilter(image_id=image_id))
        kinds = Counter(kind_of(store, row.region_id) for row in rows)
        assert 0 < kinds[RegionKind.PLANTED] <= np.ceil(len(rows) / 2) and kinds[RegionKind.QUEUE] > 0
        shown = ann.service.image_planes(image_id)
        numbers = set(np.unique(shown.region_map[(shown.region_map > 0) & (shown.region_map < 65000)]))
        assert numbers == {row.number for row in rows} and shown.decided is None


def test_a_planted_error_has_the_score_that_its_wrong_class_would_earn(store: Store, ann: Annotator) -> None:
    with store.reader() as session:
        order = read_review_settings(session).queue_rules
        rarity = read_rarity(session, len(NAMES), order)
        for image_id in {region.image_id for region, _ in probes(store, RegionKind.PLANTED)}:
            regions = [
                region
                for region in session.scalars(select(Region).where(Region.image_id == image_id).order_by(Region.number))
                if region.kind in (RegionKind.QUEUE, RegionKind.PLANTED)
            ]
            gains = [
                expected_errors(each.area, each.mean_confidence) * float(rarity[each.class_id]) for each in regions
            ]
            assert [each.score for each in regions] == pytest.approx(diversified_scores(gains, order))


def test_pixels_of_a_decoy_that_people_decided_are_not_asked_again(store: Store, ann: Annotator, scene: Scene) -> None:
    view = first(store, ann, RegionKind.PLANTED)
    mask = mask_of(ann.service.image_planes(view.row.image_id), view)
    ann.decide(DecisionKind.ACCEPT, view)
    predict(store, scene.truth, add_model(store, 2, ModelStatus.CANDIDATE, miou=0.7))
    shown = ann.service.image_planes(view.row.image_id)
    assert (shown.provenance[mask] == Provenance.HUMAN).all()
    assert not ((shown.region_map > 0) & (shown.region_map < 65000) & mask).any()


# --- control images ---


@pytest.fixture
def control(store: Store) -> int:
    (image_id,) = control_ids(store)
    return image_id


def control_view(store: Store, ann: Annotator):
    """Bring the control image to the head of a person's queue by opening its region."""
    ((region, probe),) = probes(store, RegionKind.CONTROL)
    with store.session() as session:
        session.get_one(Probe, region.id).is_active = True
        session.get_one(Region, region.id).state = RegionState.OPEN
    return ann.service.region(region.id)


def test_control_images_are_a_recorded_share_of_the_pool(store: Store, control: int) -> None:
    with store.reader() as session:
        row = session.get_one(ControlImage, control)
    assert (row.seed, row.share, row.pool_size) == (SEED, 0.1, 10)
    assert roles(store)[control] is ImageRole.POOL


def test_control_images_stay_and_no_image_joins_that_somebody_may_have_seen(store: Store, control: int) -> None:
    assert choose_controls(store) == 0
    with store.session() as session:
        session.query(Probe).filter_by(kind=RegionKind.CONTROL).delete()
        session.query(ControlImage).delete()
    assert choose_controls(store) == 0  # Every image has a proposal by now.


def test_a_control_image_shows_nothing_of_its_proposal(store, ann, control, scene, tmp_path) -> None:
    """Byte for byte the same, whatever the model said: what does not depend on it cannot leak it."""
    view = control_view(store, ann)
    other = copy_scene(scene, tmp_path / "other")
    name = view.row.sample_id
    nonsense = predict_scene(np.roll(scene.truth[name], 40, axis=1), np.random.default_rng(99), blobs=3)
    store_proposal(other, control, 1, nonsense)
    seen = []
    for each in (store, other):
        ben = Annotator(each, user="ben")
        with each.session() as session:
            for region in session.query(Region).filter_by(image_id=control, kind=RegionKind.CONTROL):
                if region.state is not RegionState.SUPERSEDED:
                    region.state, found = RegionState.OPEN, region.id
                    session.get_one(Probe, region.id).is_active = True
        planes = ben.service.image_planes(control)
        assert (planes.label == IGNORE_INDEX).all() and (planes.proposal == IGNORE_INDEX).all()
        assert not planes.reliable.any() and (planes.region_map == 1).all()
        told = ben.service.region(found)
        seen.append((planes.label.tobytes(), planes.unreliability.tobytes(), told.top_classes, told.row.mean_confidence,
                     told.row.class_id, told.row.area))  # fmt: skip
    assert seen[0] == seen[1]
    other.close()


def test_a_control_image_is_drawn_and_finished_and_is_then_human_everywhere(store, ann, control, tmp_path) -> None:
    view = control_view(store, ann)
    assert ann.service.image(control).state is ImageState.OPEN
    size_hw = view.size_wh[::-1]
    left = np.zeros(size_hw, np.bool_)
    left[:, :80] = True
    ann.decide(DecisionKind.DRAW, view, delta=delta_from_mask(left, np.full(size_hw, 3, np.uint8)))
    result = ann.decide(DecisionKind.DRAW, view, closes_region=True)
    assert (result.region_state, result.image_state) == (RegionState.DECIDED, ImageState.DONE)
    state = real_label(store, control)
    assert (state.provenance == Provenance.HUMAN).all()
    assert (state.label[:, :80] == 3).all() and (state.label[:, 80:] == IGNORE_INDEX).all()
    action = last_action(store)
    assert action.region_kind is RegionKind.CONTROL
    said = said_by_model(store, control)
    checked = said.reliable & left
    assert (action.audited_pixels, action.wrong_pixels) == (checked.sum(), (said.label[checked] != 3).sum())


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (DecisionKind.ACCEPT, {}),
        (DecisionKind.RELABEL, {"class_id": 3}),
        (DecisionKind.VOID, {}),
        (DecisionKind.ACCEPT_REST, {"region_id": None}),
    ],
)
def test_no_key_finishes_a_control_image_without_drawing_it(store: Store, ann: Annotator, kind, fields) -> None:
    view = control_view(store, ann)
    with pytest.raises(ReviewError, match="labeled from scratch"):
        ann.decide(kind, view, **fields)
    assert list(read_actions(store)) == []


def test_a_control_image_is_blank_before_it_is_in_the_queue(store: Store, ann: Annotator, control: int) -> None:
    """Whoever asks for it by its id must not see the proposal and then label it from scratch."""
    ((region, _),) = probes(store, RegionKind.CONTROL)
    with store.session() as session:
        session.get_one(Probe, region.id).is_active = False
        refresh_states(session, session.get_one(Image, control))
        assert session.get_one(Region, region.id).state is RegionState.HELD
    planes = ann.service.image_planes(control)
    assert (planes.label == IGNORE_INDEX).all() and (planes.unreliability == 255).all()


def test_a_finished_control_image_is_not_asked_for_again(store, ann, control, scene) -> None:
    view = control_view(store, ann)
    ann.decide(DecisionKind.DRAW, view, closes_region=True)
    name = view.row.sample_id
    store_proposal(store, control, 1, predict_scene(scene.truth[name], np.random.default_rng(5)))
    assert ann.service.image(control).state is ImageState.DONE
    with store.reader() as session:
        assert session.query(Region).filter_by(image_id=control, state=RegionState.HELD).count() == 0


# --- giving them to people ---


def walk(store: Store, *people: Annotator, turns: int) -> dict[str, list[RegionKind]]:
    """People take turns at the heads of their queues; the kinds that each of them got."""
    given: dict[str, list[RegionKind]] = {person.name["user"]: [] for person in people}
    for turn in range(turns):
        person = people[turn % len(people)]
        view = person.take()
        if view is not None:
            given[person.name["user"]].append(kind_of(store, view.row.region_id))
    return given


def test_one_person_meets_every_kind_at_its_share_and_the_queue_in_its_order(store: Store, ann: Annotator) -> None:
    with store.reader() as session:
        regions = session.query(Region).filter_by(kind=RegionKind.QUEUE, state=RegionState.OPEN)
        order = [region.id for region in regions.order_by(Region.score.desc(), Region.id)]
    seen = []
    for _ in range(80):
        view = ann.take()
        seen.append(view.row.region_id)
    kinds = Counter(kind_of(store, region_id) for region_id in seen)
    assert 2 <= kinds[RegionKind.AUDIT] <= 6 and 2 <= kinds[RegionKind.PLANTED] <= 5
    queued = [region_id for region_id in seen if kind_of(store, region_id) is RegionKind.QUEUE]
    positions = [order.index(region_id) for region_id in queued]
    assert positions == sorted(positions)


@pytest.mark.usefixtures("each_database")
def test_everybody_is_listed_the_same_probes_at_the_same_places(store: Store) -> None:
    ann, ben = Annotator(store), Annotator(store, user="ben", session="tab-b")
    lists = [each.service.queue(QueueFilter(person=each.name["user"]), limit=500) for each in (ann, ben)]
    assert lists[0] == lists[1]
    listed = {row.region_id for row in lists[0]}
    active = {
        region.id for kind in PROBE_KINDS for region, probe in probes(store, kind) if probe.is_active
    }  # fmt: skip
    assert active <= listed


def test_several_people_meet_probes_in_their_share(store: Store) -> None:
    people = [Annotator(store, user=name, session=f"tab-{name}") for name in ("ann", "ben", "cem")]
    for kinds in walk(store, *people, turns=90).values():
        assert len(kinds) == 30
        assert 1 <= sum(kind in PROBE_KINDS for kind in kinds) <= 8  # 3.5 are expected.


def test_an_audit_far_down_the_queue_was_chosen_by_whoever_decides_it(store: Store, ann: Annotator) -> None:
    rows = ann.service.queue(QueueFilter(person="ann"), limit=500)
    audits = [(place, row) for place, row in enumerate(rows) if kind_of(store, row.region_id) is RegionKind.AUDIT]
    (near, early), (far, late) = audits[0], audits[-1]
    assert near < LOOK_AHEAD <= far
    for row, was_given in ((early, True), (late, False)):
        ann.decide(DecisionKind.ACCEPT, ann.service.region(row.region_id))
        assert last_action(store).was_given is was_given


def test_what_colleagues_hold_does_not_stand_before_an_audit(store: Store, ann: Annotator) -> None:
    rows, role = ann.service.queue(QueueFilter(person="ann"), limit=500), roles(store)
    of_pool = [(place, row) for place, row in enumerate(rows) if role[row.image_id] is ImageRole.POOL]
    far, late = [each for each in of_pool if kind_of(store, each[1].region_id) is RegionKind.AUDIT][-1]
    own = sum(row.image_id == late.image_id for row in rows[:far])
    assert own < LOOK_AHEAD <= far
    others = {row.image_id for row in rows[:far]} - {late.image_id}
    with store.session() as session:
        session.add_all(Lease(image_id=each, holder="ben", tab="t", taken_at=utc_now(), beats=1) for each in others)
    ann.decide(DecisionKind.ACCEPT, ann.service.region(late.region_id))
    assert last_action(store).was_given


def test_audits_of_a_decoy_are_answered_and_measure_nothing(store: Store, ann: Annotator) -> None:
    """Without any, decoys would be the images without audits; but the model learned from them."""
    with store.reader() as session:
        decoys = set(session.scalars(select(DecoyImage.image_id)))
    region = next(region for region, _ in probes(store, RegionKind.AUDIT) if region.image_id in decoys)
    with store.session() as session:
        session.get_one(Probe, region.id).is_active = True
        session.get_one(Region, region.id).state = RegionState.OPEN
    ann.decide(DecisionKind.ACCEPT, ann.service.region(region.id))
    action = last_action(store)
    assert (action.region_kind, action.draw_order, action.audited_pixels) == (RegionKind.AUDIT, None, 0)
    audited = quality_report(store).audits[0].audited
    assert (audited.num_regions, audited.num_void, audited.num_undecided, audited.num_set_aside) == (0, 0, 0, 0)


def test_a_given_audit_says_so_in_the_log(store: Store, ann: Annotator) -> None:
    while (view := ann.take()) is not None:
        if kind_of(store, view.row.region_id) is RegionKind.AUDIT:
            break
    action = last_action(store)
    with store.reader() as session:
        probe = session.get_one(Probe, action.region_id)
    assert action.was_given and action.draw_order == probe.draw_order == min(
        each.draw_order for _, each in probes(store, RegionKind.AUDIT)
    )
