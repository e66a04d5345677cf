"""Cutting the queue anew: only what nobody acted on moves, probes included, and it goes back to where it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from app.__main__ import application
from app.domain.audit import AuditAction
from app.domain.cutting import Standing
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageRole, ModelStatus, RegionKind, RegionState
from app.services import predicting
from app.services.action_log import read_actions
from app.services.audit import AuditFilter, list_entries
from app.services.coco_export import export_coco
from app.services.cutting import preview_recut
from app.services.labels import label_state
from app.services.leases import LIFE_S, LeaseService
from app.services.model_changes import ModelsChangedError, promote, roll_back
from app.services.predicting import predict_pool
from app.services.processes import Monitor, WorkCancelledError
from app.services.quality_report import quality_report
from app.services.recutting import RecutReport, recut_pool
from app.services.review_types import QueueFilter
from app.services.snapshots import list_snapshots
from app.services.thresholds import choose_threshold, cuts_in_force, standings
from app.storage.database import Store
from app.storage.errors import DiskFullError
from app.storage.models import Decision, Image, Model, Proposal, Region
from app.storage.probes import DecoyImage, Probe
from app.storage.trust_settings import read_trust_settings
from export.session import Prediction
from tests.browser.workspace import add_model
from tests.unit.made_workspace import copy_store, everything_stored, pool_ids
from tests.unit.trust_cases import Annotator, Scene, ScenePredictor, control_ids, make_scene

LEAD = Actor("lea", Role.LEAD)
STRICT, LOOSE = 0.02, 0.5
"""Pixels of `predict_scene` are wrong with about 3 % outside of blobs, 40 % at edges and 30 to 65 % in blobs."""


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.while_asleep = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.while_asleep()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("recut"), pool=6)


@pytest.fixture
def store(scene: Scene, tmp_path: Path) -> Iterator[Store]:
    store = copy_store(scene.root, tmp_path)
    yield store
    store.close()


@pytest.fixture
def predictor(store: Store, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> ScenePredictor:
    made = ScenePredictor(store, scene)
    monkeypatch.setattr(predicting, "load_predictor", lambda path: made)
    return made


@pytest.fixture
def ann(store: Store) -> Annotator:
    return Annotator(store)


def recut(store: Store, threshold: float | None, clock: Clock | None = None, **told: object) -> RecutReport:
    clock = clock or Clock()
    choose_threshold(store, LEAD, threshold)
    return recut_pool(store, store.workspace, Monitor(**told), clock.sleep, clock)


def cut_at(store: Store) -> dict[int, float | None]:
    """Threshold of the active proposal of each image that people review."""
    with store.reader() as session:
        rows = session.execute(select(Proposal.image_id, Proposal.threshold).where(Proposal.active)).all()
    return {row.image_id: row.threshold for row in rows}


def regions_of(store: Store, image_id: int) -> list[tuple[int, str, str, int]]:
    """Those of an image; a larger queue needs more probes, so one that waits may be held or open."""
    with store.reader() as session:
        rows = session.scalars(select(Region).where(Region.image_id == image_id).order_by(Region.id))
        return [(row.id, row.kind.value, row.state.value.replace("held", "open"), row.area) for row in rows]


def labels_of(store: Store, image_id: int) -> tuple[bytes, bytes]:
    with store.reader() as session:
        state = label_state(store, session, session.get_one(Image, image_id))
    return state.label.tobytes(), state.provenance.tobytes()


def waiting_area(store: Store) -> int:
    with store.reader() as session:
        waits = (Region.kind == RegionKind.QUEUE) & (Region.state == RegionState.OPEN)
        return session.scalar(select(func.sum(Region.area)).where(waits)) or 0


def drawn_pixels(store: Store, image_id: int) -> set[tuple[int, int]]:
    """Pixels of the active proposal's audits."""
    with store.reader() as session:
        statement = (
            select(Probe.facts)
            .join(Region, Region.id == Probe.region_id)
            .join(Proposal, Proposal.id == Region.proposal_id)
            .where(Probe.kind == RegionKind.AUDIT, Proposal.active, Region.image_id == image_id)
        )
        return {tuple(pixel) for facts in session.scalars(statement) for pixel in facts["drawn"]}


def test_a_looser_threshold_asks_about_less_and_the_file_s_own_brings_everything_back(
    store: Store, predictor: ScenePredictor
) -> None:
    before = {image_id: regions_of(store, image_id) for image_id in pool_ids(store)}
    area = waiting_area(store)
    moved = len(before) - len(control_ids(store))
    report = recut(store, LOOSE)
    with store.reader() as session:
        decoys = set(session.scalars(select(DecoyImage.image_id)))
    assert (report.cut, report.restored, report.controls) == (moved, 0, len(control_ids(store)))
    assert decoys and {cut_at(store)[image_id] for image_id in decoys} == {LOOSE}  # Cut, too, and not counted.
    assert waiting_area(store) < area
    assert {cut_at(store)[image_id] for image_id in before.keys() - control_ids(store)} == {LOOSE}
    calls = predictor.calls
    back = recut(store, None)
    assert (back.cut, back.restored, predictor.calls) == (0, moved, calls)
    after = {image_id: regions_of(store, image_id)[: len(rows)] for image_id, rows in before.items()}
    assert after == before
    assert recut(store, LOOSE).restored == moved  # What was cut once is kept.


def test_images_that_somebody_acted_on_keep_every_region_and_decision(
    store: Store, ann: Annotator, predictor: ScenePredictor
) -> None:
    first = ann.take()
    second = next(row for row in ann.service.queue(QueueFilter(), limit=200) if row.image_id != first.row.image_id)
    ann.decide(DecisionKind.SKIP, ann.service.region(second.region_id))
    touched = {first.row.image_id, second.image_id}
    before = {image_id: (regions_of(store, image_id), labels_of(store, image_id)) for image_id in touched}
    report = recut(store, STRICT)
    assert report.decided == len(touched & set(pool_ids(store)) - control_ids(store)) > 0
    assert {image_id: (regions_of(store, image_id), labels_of(store, image_id)) for image_id in touched} == before
    assert {cut_at(store)[image_id] for image_id in touched} == {None}
    ann.undo()  # Taking it back leaves a decision behind that can be put in force again.
    assert recut(store, LOOSE).decided == report.decided
    ann.redo()
    with store.reader() as session:
        assert session.scalar(select(func.count()).select_from(Decision)) == 4


def test_an_image_that_somebody_works_on_is_left_and_comes_next_time(store: Store, predictor: ScenePredictor) -> None:
    image_id = next(each for each in pool_ids(store) if each not in control_ids(store))
    clock, leases = Clock(), LeaseService(store)
    ann = Actor("ann", Role.ANNOTATOR)
    leases.hold(ann, "tab", image_id)
    clock.while_asleep = lambda: leases.hold(ann, "tab", image_id)  # Her tab is still there.
    report = recut(store, LOOSE, clock)
    assert len(report.held) == 1 and cut_at(store)[image_id] is None
    assert any("cut again" in sentence for sentence in report.sentences)
    leases.release(ann, "tab", image_id)
    assert recut(store, LOOSE).cut == 1 and cut_at(store)[image_id] == LOOSE


def test_a_tab_that_was_closed_without_a_word_holds_nothing_up_for_longer_than_a_lease_lives(
    store: Store, predictor: ScenePredictor
) -> None:
    image_id = next(each for each in pool_ids(store) if each not in control_ids(store))
    LeaseService(store).hold(Actor("ann", Role.ANNOTATOR), "tab", image_id)
    clock = Clock()
    assert recut(store, LOOSE, clock).held == () and cut_at(store)[image_id] == LOOSE
    assert LIFE_S <= clock.now < LIFE_S + 2


def test_what_is_decided_while_the_picture_is_predicted_stops_its_cut(
    store: Store, ann: Annotator, predictor: ScenePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    predict = ScenePredictor.predict

    def decide_meanwhile(self: ScenePredictor, picture: np.ndarray) -> Prediction:
        if not seen:
            view = ann.take()
            assert view is not None
            seen.append(view.row.image_id)
        return predict(self, picture)

    monkeypatch.setattr(ScenePredictor, "predict", decide_meanwhile)
    recut(store, LOOSE)
    assert cut_at(store)[seen[0]] is None
    assert regions_of(store, seen[0])[-1][2] != "superseded"


def test_audits_stay_where_they_were_drawn_and_none_is_drawn_twice(store: Store, predictor: ScenePredictor) -> None:
    free = [image_id for image_id in pool_ids(store) if image_id not in control_ids(store)]
    before = {image_id: drawn_pixels(store, image_id) for image_id in free}
    recut(store, LOOSE)
    assert sum(map(len, before.values())) > 3
    assert all(before[image_id] <= drawn_pixels(store, image_id) for image_id in free)
    recut(store, STRICT)
    assert all(drawn_pixels(store, image_id) <= before[image_id] for image_id in free)


def test_controls_and_decided_planted_errors_stay(store: Store, ann: Annotator, predictor: ScenePredictor) -> None:
    with store.reader() as session:
        planted = session.scalars(select(Region).where(Region.kind == RegionKind.PLANTED)).all()
        shown = next(region for region in planted if region.state is RegionState.OPEN)
    ann.decide(DecisionKind.ACCEPT, ann.service.region(shown.id))
    before = {image_id: regions_of(store, image_id) for image_id in (*control_ids(store), shown.image_id)}
    recut(store, LOOSE)
    assert {image_id: regions_of(store, image_id) for image_id in before} == before


def test_images_that_are_predicted_later_are_cut_alike_and_a_new_model_starts_from_its_own(
    store: Store, predictor: ScenePredictor
) -> None:
    recut(store, LOOSE)
    with store.session() as session:
        of_pool = Proposal.active & (Proposal.threshold == LOOSE) & Proposal.image_id.in_(pool_ids(store))
        row = session.scalars(select(Proposal).where(of_pool)).first()
        row.active = False
    predict_pool(store, store.workspace, None, lambda _: None, lambda: False)
    assert set(cut_at(store).values()) <= {LOOSE, None} and cut_at(store)[row.image_id] == LOOSE
    second = add_model(store, 2, ModelStatus.CANDIDATE, miou=0.7)
    promote(store, second, LEAD, "somebody wants to see it")
    predict_pool(store, store.workspace, None, lambda _: None, lambda: False)
    assert set(cut_at(store).values()) == {None}
    roll_back(store, 1, LEAD, "its outlines were better")
    assert LOOSE in cut_at(store).values()
    with store.reader() as session:
        words = [cut.words for cut in cuts_in_force(session)]
    assert any("round 1: reliable is wrong with at most 50 %" in each for each in words)


def test_the_choice_is_recorded_with_who_and_a_snapshot_is_taken_before_the_cut(
    store: Store, predictor: ScenePredictor
) -> None:
    recut(store, LOOSE)
    (entry,) = list_entries(store, AuditFilter(action=AuditAction.THRESHOLD_CHOSEN), 10)
    assert (entry.actor, entry.details["before"], entry.details["after"]) == ("lea", None, LOOSE)
    assert [snapshot.reason for snapshot in list_snapshots(store.workspace)] == ["threshold"]
    recut(store, LOOSE)  # Nothing left to do: neither an entry nor a snapshot.
    assert len(list_entries(store, AuditFilter(action=AuditAction.THRESHOLD_CHOSEN), 10)) == 1
    assert len(list_snapshots(store.workspace)) == 1


def stop_after_three(store: Store) -> None:
    """A cut that is stopped when three images are done."""
    asked: list[int] = []

    def after_three() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(WorkCancelledError):
        recut(store, LOOSE, should_cancel=after_three)


def test_an_interrupted_cut_goes_on_and_a_full_disk_leaves_the_old_regions(
    store: Store, predictor: ScenePredictor
) -> None:
    stop_after_three(store)
    with store.reader() as session:
        left = standings(session, 1, frozenset())[Standing.TO_CUT]
    assert 0 < left < len(pool_ids(store))
    kept = everything_stored(store)
    predictor.fails = DiskFullError("no space left")
    with pytest.raises(DiskFullError):
        recut(store, LOOSE)
    assert everything_stored(store) == kept
    predictor.fails = None
    recut(store, LOOSE)
    with store.reader() as session:
        assert standings(session, 1, frozenset())[Standing.TO_CUT] == 0


def test_a_threshold_that_is_chosen_meanwhile_ends_the_cut_instead_of_mixing_two(
    store: Store, predictor: ScenePredictor
) -> None:
    def choose_another() -> bool:
        if LOOSE in cut_at(store).values():
            choose_threshold(store, LEAD, STRICT)
        return False

    with pytest.raises(RuntimeError, match="somebody chose another threshold"):
        recut(store, LOOSE, should_cancel=choose_another)
    assert STRICT not in cut_at(store).values() and LOOSE in cut_at(store).values()


def test_a_stopped_cut_leaves_no_drawn_audit_of_its_images_behind(store: Store, predictor: ScenePredictor) -> None:
    stop_after_three(store)
    with store.reader() as session:
        assert read_trust_settings(session).mixed_up_to == session.scalar(select(func.max(Proposal.id)))


def test_a_threshold_is_chosen_for_the_model_that_was_looked_at(store: Store) -> None:
    with pytest.raises(ModelsChangedError):
        choose_threshold(store, LEAD, 0.1, seen_model=7)
    with pytest.raises(ValueError, match="0-1"):
        choose_threshold(store, LEAD, 1.1)
    with store.session() as session:
        session.get_one(Model, 1).status = ModelStatus.RETIRED
    with pytest.raises(LookupError):
        choose_threshold(store, LEAD, 0.1)


def test_a_preview_says_what_the_cut_then_does(store: Store, ann: Annotator, predictor: ScenePredictor) -> None:
    ann.take()
    expected = preview_recut(store, 1, LOOSE, frozenset())
    assert expected.looked_at == expected.to_cut > 0
    recut(store, LOOSE)
    after = preview_recut(store, 1, LOOSE, frozenset())
    assert after.to_cut == 0
    assert after.size.regions == pytest.approx(expected.size.regions, abs=2)  # Stored steps are 0.4 points.
    assert after.size.region_pixels == pytest.approx(expected.size.region_pixels, rel=0.05)
    assert sum(after.size.by_class) == after.size.regions
    back = preview_recut(store, 1, None, frozenset())
    recut(store, None)
    own = preview_recut(store, 1, None, frozenset()).size
    assert (own.regions, own.region_pixels, own.by_class) == (
        back.size.regions,
        back.size.region_pixels,
        back.size.by_class,
    )
    assert preview_recut(store, 1, STRICT, frozenset(), at_most=2).looked_at == 2


def test_the_command_cuts_goes_back_and_names_the_threshold_and_the_promise(
    store: Store, predictor: ScenePredictor
) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(application, ["threshold", *arguments, "-w", str(store.workspace.root)])
        assert result.exit_code == 0, result.output
        return result.stdout

    said = run("set", str(LOOSE))
    assert "Images cut anew (wrong with at most 50 %): " in said
    assert "round 1: reliable is wrong with at most 50 %. The model file has no calibration" in said
    told = json.loads(run("show", "--at", "0.3", "--json"))
    assert told["choice"]["threshold"] == LOOSE and LOOSE in [cut["threshold"] for cut in told["cuts"]]
    assert "Images cut anew (the model file's own verdict): " in run("reset")
    assert "at most 1 % are wrong" in run("ask") and "at most 5 % are wrong" in run("ask", "0.05")
    (entry,) = list_entries(store, AuditFilter(action=AuditAction.SETTINGS_CHANGED), 10)
    assert (entry.details["before"]["alpha"], entry.details["after"]["alpha"]) == (0.01, 0.05)
    for wrong in ("1.5", "0", "-0.1"):
        refused = CliRunner().invoke(application, ["threshold", "ask", wrong, "-w", str(store.workspace.root)])
        assert refused.exit_code == 2 and "more than 0 and less than 1" in refused.stderr


def test_what_people_decide_is_logged_with_the_threshold_that_they_saw(
    store: Store, ann: Annotator, predictor: ScenePredictor
) -> None:
    recut(store, LOOSE)
    ann.take()
    assert [action.threshold for action in read_actions(store)] == [LOOSE]


def test_report_and_export_name_the_threshold_in_force_and_audits_count_by_it(
    store: Store, ann: Annotator, predictor: ScenePredictor, tmp_path: Path
) -> None:
    def decide_audit() -> None:
        with store.reader() as session:
            of_pool = (Image.role == ImageRole.POOL) & (Region.kind == RegionKind.AUDIT)
            audits = session.scalars(select(Region).join(Image).where(of_pool).order_by(Region.id.desc()))
            shown = next(region for region in audits if region.state is RegionState.OPEN)
        ann.decide(DecisionKind.ACCEPT, ann.service.region(shown.id))

    decide_audit()
    recut(store, LOOSE)
    decide_audit()
    report = quality_report(store)
    in_force, own = report.audits
    assert (in_force.threshold, in_force.is_current, own.threshold, own.is_current) == (LOOSE, True, None, False)
    assert [
        sum((each.audited.num_regions, each.audited.num_void, each.audited.num_set_aside)) for each in report.audits
    ] == [1, 1]
    assert {cut["threshold"] for cut in report.to_json()["cuts"]} == {None, LOOSE}
    export_coco(store, tmp_path / "coco", "all")
    manifest = json.loads((tmp_path / "coco" / "manifest.json").read_text())
    assert "wrong with at most 50 %" in " ".join(cut["words"] for cut in manifest["reliable"])
