"""Simulated annotators on a real store: every arm ends, and its books agree with the store."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import func, select

from app.config import Workspace
from app.domain.simulated_people import ORACLE, SimulatedPerson
from app.domain.states import DecisionKind, RegionKind
from app.services.audit import AuditFilter, list_entries
from app.services.labels import label_state
from app.services.processes import Monitor, WorkCancelledError
from app.services.review_types import QueueFilter
from app.services.reviewing import ReviewService
from app.services.simulating import Arm, Simulation, Truth, copied_workspace, simulate
from app.services.simulation_effort import Budget
from app.storage.database import Store, open_store
from app.storage.models import Decision, Image, Model, Region
from tests.browser.team_work import work_as_team
from tests.browser.workspace import build_workspace, draw_scene, pool_images
from tests.unit.test_app_cli import one_error_line, run
from tests.unit.trust_cases import control_ids, make_scene

POOL = 3
NO_LIMIT = Budget()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace, and the masks of its pool: the scenes that it was made of."""
    root = tmp_path_factory.mktemp("simulating")
    build_workspace(root, POOL)
    rng = np.random.default_rng(7)
    scenes = [draw_scene(rng) for _ in range(3 + POOL)]
    (root / "truth").mkdir()
    for number, scene in enumerate(scenes[3:]):
        Picture.fromarray(scene).save(root / "truth" / f"street_{number:02d}.png")
    return root


@pytest.fixture(scope="module")
def original(folder: Path) -> Iterator[Store]:
    store = open_store(Workspace(folder / "workspace"))
    yield store
    store.close()


@pytest.fixture
def store(original: Store) -> Iterator[Store]:
    with copied_workspace(original, Monitor()) as copy, copy() as copied:
        yield copied


def work(
    store: Store, folder: Path, arm: Arm, budget: Budget = NO_LIMIT, person: SimulatedPerson = ORACLE
) -> Simulation:
    return simulate(store, Truth(store, folder / "truth"), arm, person, 0, budget, 5, Monitor())


def wrong_pixels(store: Store, folder: Path) -> int:
    """Counted again from what the store has now."""
    with store.reader() as session:
        states = {
            image.sample_id: label_state(store, session, image)
            for image in session.scalars(select(Image).where(Image.sample_id.like("street%")))
        }
    return sum(
        int(np.count_nonzero(np.asarray(Picture.open(folder / "truth" / f"{name}.png")) != state.label))
        for name, state in states.items()
        if state is not None
    )


@pytest.mark.parametrize("arm", list(Arm))
def test_every_arm_improves_the_labels_and_its_books_agree_with_the_store(store: Store, folder: Path, arm: Arm) -> None:
    first, *_, last = (found := work(store, folder, arm)).curve
    assert last["label_miou"] > first["label_miou"]
    assert first["wrong_pixels"] > last["wrong_pixels"] == wrong_pixels(store, folder)
    with store.reader() as session:
        by_kind = dict(session.execute(select(Decision.kind, func.count()).group_by(Decision.kind)).all())
        clicks = sum(stats["clicks"] for stats in session.scalars(select(Decision.stats)) if "clicks" in stats)
    asked = sum(number for kind, number in by_kind.items() if kind is not DecisionKind.ACCEPT_REST)
    assert clicks == last["clicks"]
    if arm not in (Arm.RANDOM_IMAGES, Arm.UNSURE_IMAGES):  # There every part of an image is a decision.
        assert asked == last["decisions"]
    assert last["pixels_shown"] <= last["pixels"]
    assert 0 <= found.unseen["reliable_wrong"] <= found.unseen["reliable"]
    assert found.unseen["bound"] is None and "no calibration" in found.unseen["promise"]


def test_the_promise_of_the_calibration_stands_beside_the_measured_error(store: Store, folder: Path) -> None:
    note = {
        "decides": True,
        "is_promised": True,
        "alpha": 0.04,
        "risk": "reliable",
        "bound": 0.03,
        "sentence": "At most 4 % are wrong.",
    }
    with store.session() as session:
        model = session.scalars(select(Model)).one()
        model.gold = {**(model.gold or {}), "calibration": note}
    unseen = work(store, folder, Arm.QUEUE, Budget(decisions=2)).unseen
    assert (unseen["bound"], unseen["promise"]) == (0.04, "At most 4 % are wrong.")
    assert unseen["reliable"] > 0
    assert 0 <= unseen["reliable_error"] <= 1


def test_whole_images_end_without_a_wrong_pixel(store: Store, folder: Path) -> None:
    found = work(store, folder, Arm.RANDOM_IMAGES)
    assert found.curve[-1]["wrong_pixels"] == 0
    assert found.unseen["reliable"] == found.unseen["other"] == 0
    assert found.curve[-1]["pixels_shown"] == found.curve[-1]["pixels"]
    assert found.curve[-1]["decisions"] > POOL == len(pool_images(store))


def test_the_oracle_never_changes_a_locked_pixel(store: Store, folder: Path) -> None:
    review = ReviewService(store)
    before = {image_id: review.image_planes(image_id).label for image_id, _ in pool_images(store)}
    work(store, folder, Arm.QUEUE)
    for image_id, label in before.items():
        planes = review.image_planes(image_id)
        assert np.array_equal(planes.label[planes.reliable], label[planes.reliable])


def test_the_queue_arm_takes_what_the_queue_offers(store: Store, folder: Path) -> None:
    first = ReviewService(store).queue(QueueFilter(), limit=3)
    work(store, folder, Arm.QUEUE, Budget(decisions=3))
    with store.reader() as session:
        decided = list(session.scalars(select(Decision.region_id).order_by(Decision.id)))
    assert decided == [row.region_id for row in first]


def test_budgets_stop_the_work(store: Store, folder: Path) -> None:
    assert work(store, folder, Arm.RANDOM_REGIONS, Budget(decisions=4)).curve[-1]["decisions"] == 4
    by_time = work(store, folder, Arm.QUEUE, Budget(minutes=0.5)).curve[-1]
    assert 30 <= by_time["seconds"] < 120


def test_a_second_round_goes_on_where_the_first_one_stopped(store: Store, folder: Path) -> None:
    truth, shown = Truth(store, folder / "truth"), {}
    first = simulate(store, truth, Arm.RANDOM_IMAGES, ORACLE, 0, Budget(inputs=1), 5, Monitor(), shown)
    assert first.curve[-1]["clicks"] + first.curve[-1]["keys"] >= 1
    done = {image_id for image_id, mask in shown.items() if mask.all()}
    assert len(done) == 1, "the budget is spent with the first image"
    second = simulate(store, truth, Arm.RANDOM_IMAGES, ORACLE, 0, NO_LIMIT, 5, Monitor(), shown)
    assert second.curve[0]["label_miou"] == first.curve[-1]["label_miou"]
    assert second.curve[-1]["pixels_shown"] == second.curve[-1]["pixels"] - first.curve[-1]["pixels_shown"]


def test_a_person_who_errs_leaves_more_errors(original: Store, folder: Path) -> None:
    left = {}
    for person in (ORACLE, replace(ORACLE, name="hasty", error_rate=0.5)):
        with copied_workspace(original, Monitor()) as copy, copy() as copied:
            left[person.name] = work(copied, folder, Arm.QUEUE, Budget(decisions=12), person).curve[-1]["wrong_pixels"]
    assert left["oracle"] < left["hasty"]


def test_the_workspace_itself_is_not_touched(store: Store, original: Store, folder: Path) -> None:
    work(store, folder, Arm.QUEUE)
    with original.reader() as session:
        assert session.scalar(select(func.count()).select_from(Decision)) == 0


def test_a_cancelled_simulation_stops(store: Store, folder: Path) -> None:
    with pytest.raises(WorkCancelledError):
        monitor = Monitor(should_cancel=lambda: True)
        simulate(store, Truth(store, folder / "truth"), Arm.QUEUE, ORACLE, 0, NO_LIMIT, 5, monitor)


def test_images_without_a_mask_are_left_out_and_counted(store: Store, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "street_00.png").write_bytes((folder / "truth" / "street_00.png").read_bytes())
    truth = Truth(store, tmp_path)
    assert truth.num_missing == POOL - 1
    simulate(store, truth, Arm.QUEUE, ORACLE, 0, NO_LIMIT, 5, Monitor())
    with store.reader() as session:
        assert set(session.scalars(select(Decision.image_id))) == set(truth.image_ids)


def test_a_mask_of_another_size_is_refused_by_name(store: Store, folder: Path, tmp_path: Path) -> None:
    Picture.fromarray(np.zeros((10, 12), np.uint8)).save(tmp_path / "street_00.png")
    with pytest.raises(ValueError, match=r"street_00.png is 12 x 10, but its image is 480 x 360"):
        simulate(store, Truth(store, tmp_path), Arm.QUEUE, ORACLE, 0, NO_LIMIT, 5, Monitor())


def test_the_command_writes_one_file_per_arm_and_keeps_what_is_there(folder: Path, tmp_path: Path) -> None:
    options = ("--truth", folder / "truth", "--out", tmp_path / "out", "--decisions", "4", "--every", "2")
    arms = ("--arm", "queue", "--arm", "random_regions")
    made = run("simulate", "-w", folder / "workspace", *options, *arms)
    assert made.exit_code == 0, made.output
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["queue-oracle-0.json", "random_regions-oracle-0.json"]
    content = json.loads(files[0].read_text())
    assert content["config"]["arm"] == "queue" and [row["decisions"] for row in content["curve"]] == [0, 2, 4]
    before = files[0].stat().st_mtime_ns
    assert run("simulate", "-w", folder / "workspace", *options, *arms).exit_code == 0
    assert files[0].stat().st_mtime_ns == before
    refused = run("simulate", "-w", folder / "workspace", *options, "--minutes", "1")
    assert "holds the result of other settings" in one_error_line(refused)


def test_a_folder_without_masks_is_refused_with_an_example(folder: Path, tmp_path: Path) -> None:
    refused = run("simulate", "-w", folder / "workspace", "--truth", tmp_path, "--out", tmp_path / "out")
    assert "street_00.png would be one" in one_error_line(refused)


def test_nothing_is_asked_about_probes_and_the_audit_log_of_the_workspace_says_nothing(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, pool=5)
    (tmp_path / "masks").mkdir()
    for name, label in scene.truth.items():
        Picture.fromarray(label).save(tmp_path / "masks" / f"{name}.png")
    with closing(open_store(Workspace(scene.root))) as store:
        work_as_team(store, scene.truth, turns=9)  # Some probes are somebody's already.
        before = len(list_entries(store, AuditFilter(), 999))
        with copied_workspace(store, Monitor()) as copy, copy() as copied:
            controls = control_ids(copied)
            simulate(copied, Truth(copied, tmp_path / "masks"), Arm.QUEUE, ORACLE, 0, NO_LIMIT, 5, Monitor())
            with copied.reader() as session:
                is_mine = Decision.user == ORACLE.name
                asked = select(Region.kind).join(Decision, Decision.region_id == Region.id).where(is_mine)
                assert set(session.scalars(asked)) == {RegionKind.QUEUE}
                images = set(session.scalars(select(Decision.image_id).where(is_mine)))
            assert images and not images & controls
        assert len(list_entries(store, AuditFilter(), 999)) == before
