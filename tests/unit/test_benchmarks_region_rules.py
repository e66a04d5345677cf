"""The comparison of region rules: the same work as in the store, resumable cells, and honest intervals."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from app.domain.queue import QueueRules, class_rarity
from app.domain.regions import RegionInput, RegionRules, build_regions
from app.domain.simulated_people import PEOPLE
from app.services.processes import Monitor
from app.services.proposals import read_rarity, store_proposal
from app.services.simulating import Arm, Truth, simulate
from app.services.simulation_effort import Budget
from app.storage.database import Store
from app.storage.settings import ReviewSettings, write_review_settings
from benchmarks import region_rules, report
from benchmarks.rules_cells import FACTORS, Setting, all_settings, cells_of
from benchmarks.rules_replay import BEST_ORDER, REGION_ARMS, PoolImage, Replay, Step
from benchmarks.rules_score import CellCounts, compare, cost_ratio, measures, read_cell
from datasets.formats import scenes
from datasets.formats.scenes import LABELED_SPLIT, SceneCounts, write_scenes
from datasets.images import read_image
from datasets.splits import LabeledSplit, write_split
from export.onnx_graph import build_export_module, build_onnx
from reliability.lookup import build_method
from tests.unit.export_models import MEAN, STD, STRIDE, TinyStudent, tiny_metadata
from tests.unit.made_workspace import CLASSES, SIZE_HW, make_prediction, make_store, pool_ids, random_label

RULES = Setting.parse("min_area_share=0.0006,diversity_discount=0.8,rarity_high=2")
MAIN = ("oracle", "realistic")
POOL = tuple(f"pool_{number}" for number in range(4))


@pytest.mark.parametrize(
    ("arm", "person"),
    [*((Arm.QUEUE, person) for person in PEOPLE), *((arm, "realistic") for arm in REGION_ARMS if arm is not Arm.QUEUE)],
)
def test_without_a_store_every_answer_and_all_books_are_those_of_the_store(tmp_path: Path, arm: Arm, person: str):
    with closing(make_store(tmp_path, POOL)) as store:
        images = predict_into(store, tmp_path)
        with store.reader() as session:
            rarity = read_rarity(session, len(CLASSES), RULES.order)
        partitions = [build_regions(image.said, RULES.regions) for image in images]
        replay = Replay(images, partitions, RULES.order, rarity, ReviewSettings().enough_share)
        steps = list(replay.run(arm, PEOPLE[person], seed=3))
        truth = Truth(store, tmp_path / "truth")
        curve = simulate(store, truth, arm, PEOPLE[person], 3, Budget(), 1, Monitor()).curve
    assert len(curve) == len(steps) + 1 > 10
    for spent, reached in zip(summed(steps, images), curve, strict=True):
        assert spent == pytest.approx({name: reached[name] for name in spent})


def predict_into(store: Store, root: Path) -> list[PoolImage]:
    """Proposals under other rules than the defaults, and true labels that differ in places."""
    with store.session() as session:
        write_review_settings(session, ReviewSettings(region_rules=RULES.regions, queue_rules=RULES.order))
    (root / "truth").mkdir()
    images = []
    for seed, (image_id, name) in enumerate(zip(pool_ids(store), POOL, strict=True)):
        said, other = make_prediction(seed), random_label(seed)
        truth = np.where(np.arange(SIZE_HW[1]) % 30 < 20, said.label, other)
        Picture.fromarray(truth).save(root / "truth" / f"{name}.png")
        store_proposal(store, image_id, 1, said)
        picture = read_image(root / "source" / f"{name}.png")
        told = RegionInput(picture, said.label, said.reliable, said.probability_right, said.probabilities)
        images.append(PoolImage(name, told, truth))
    return images


def summed(steps: Sequence[Step], images: Sequence[PoolImage]) -> list[dict[str, float]]:
    """The curve of `pixelsieve simulate`, a point per step."""
    truth = np.concatenate([image.truth.reshape(-1) for image in images])
    label = np.concatenate([image.said.label.reshape(-1) for image in images])
    known = truth != 255
    labeled, predicted, hits = (
        np.bincount(ids, minlength=len(CLASSES))
        for ids in (truth[known], label[known], truth[known & (truth == label)])
    )
    row = dict.fromkeys(("decisions", "clicks", "keys", "seconds", "pixels_shown", "pixels_changed"), 0.0)
    rows = []
    for step in [None, *steps]:
        if step is not None:
            added = (1, step.clicks, step.keys, step.seconds, step.shown, step.changed)
            row = {name: value + more for (name, value), more in zip(row.items(), added, strict=True)}
            hits, predicted = hits + step.hits, predicted + step.predicted
        union = labeled + predicted - hits
        miou = float((hits[union > 0] / union[union > 0]).mean())
        rows.append({**row, "label_miou": miou, "wrong_pixels": float(labeled.sum() - hits.sum())})
    return rows


def test_only_orders_of_regions_can_be_replayed():
    with pytest.raises(ValueError, match="go by regions, not random_images"):
        next(
            Replay([], [], QueueRules(), class_rarity([1, 1], QueueRules()), 0.001).run(
                Arm.RANDOM_IMAGES, PEOPLE["oracle"], 0
            )
        )


def test_the_best_order_gains_first_what_every_order_gains_in_the_end():
    images = []
    for seed in range(4):
        said, other = make_prediction(seed), random_label(seed)
        truth = np.where(np.arange(SIZE_HW[1]) % 30 < 20, said.label, other)
        told = RegionInput(
            np.zeros((*SIZE_HW, 3), np.uint8), said.label, said.reliable, said.probability_right, said.probabilities
        )
        images.append(PoolImage(str(seed), told, truth))
    partitions = [build_regions(image.said, RULES.regions) for image in images]

    def right_after(arm: str) -> list[int]:
        replay = Replay(images, partitions, RULES.order, class_rarity([1] * len(CLASSES), RULES.order), 0.001)
        return list(np.cumsum([step.hits.sum() for step in replay.run(arm, PEOPLE["oracle"], 0)]))

    best, chance = right_after(BEST_ORDER), right_after(Arm.RANDOM_REGIONS)
    assert len(best) == len(chance) > 10 and best[-1] == chance[-1] > 0
    assert sum(best) > 1.2 * sum(chance)


def test_every_factor_changes_the_defaults_in_what_its_name_says():
    default, *others = all_settings()
    assert len(others) == sum(map(len, FACTORS.values())) - 1 == len({(each.regions, each.order) for each in others})
    assert default.regions == RegionRules() and default.order == QueueRules()
    assert "max_area_share=0.25" not in {each.name for each in others}, "that is the default"
    assert RULES.regions == RegionRules(min_area_share=0.0006)
    assert RULES.order == QueueRules(diversity_discount=0.8, rarity_high=2)


def test_a_setting_changes_the_baseline_where_one_is_given():
    first, other = all_settings("max_area_share=0.04,rarity_low=1", ["band_px=3,rarity_high=1"])
    assert first.regions == RegionRules(max_area_share=0.04)
    assert other.regions == RegionRules(max_area_share=0.04, band_px=3)
    assert other.order == QueueRules(rarity_low=1, rarity_high=1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("band=2", "unknown rule 'band' in 'band=2'; choose from opening_px"),
        ("band_px=wide", "'wide' is not a number that fits"),
        ("band_px=99", "band_px 1-8"),
    ],
)
def test_a_setting_that_is_none_is_refused(name: str, message: str):
    with pytest.raises(ValueError, match=message):
        Setting.parse(name)


def test_the_oracle_needs_one_seed_and_chance_needs_all():
    names = [cell.name for cell in cells_of(all_settings(names=["band_px=3"]), MAIN, seeds=2, references=True)]
    assert [name for name in names if name.startswith("band_px=3")] == [
        "band_px=3-queue-oracle-seed0", "band_px=3-queue-realistic-seed0", "band_px=3-queue-realistic-seed1",
    ]  # fmt: skip
    assert sum("random_regions-oracle" in name for name in names) == 2
    assert sum("entropy_regions-oracle" in name for name in names) == 1


def cell(hits: Sequence[Sequence[int]]) -> CellCounts:
    """One class of 100 pixels in each of two blocks with one image; a click brings what `hits` says, block by block."""
    steps = np.cumsum(np.array([[0, 0], *hits]), axis=0)
    spent = {name: np.zeros(steps.shape) for name in ("decisions", "clicks", "keys", "seconds", "shown", "changed")}
    spent["clicks"] += np.arange(len(steps))[:, None]
    every = steps[:, :, None].astype(np.int64)
    return CellCounts({}, np.array([1, 1]), np.full((2, 1), 100), every, every, spent)


def test_a_setting_equals_itself_in_every_resample():
    found = compare({0: cell([(10, 50)])}, {0: cell([(10, 50)])}, measures())
    assert all((each.low, each.value, each.high) == (0, 0, 0) for name, each in found.items() if name != "cost_300")


def test_the_interval_spans_the_blocks_and_the_value_is_that_of_all():
    found = compare({0: cell([(10, 50)])}, {0: cell([(0, 0)])}, measures())["end"]
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.1, 0.5))


def test_a_cost_is_a_multiple_of_the_defaults_and_labels_that_are_not_always_reached_give_no_interval():
    slow, fast = cell([(10, 10), (10, 10)]), cell([(20, 20), (20, 20)])
    assert compare({0: fast}, {0: slow}, {"cost": cost_ratio(2)})["cost"].value == pytest.approx(0.5)
    assert compare({0: slow}, {0: fast}, {"cost": cost_ratio(1)})["cost"].value == pytest.approx(2.0)
    lopsided = compare({0: cell([(30, 10), (0, 0)])}, {0: fast}, {"cost": cost_ratio(1)})["cost"]
    assert (lopsided.low, lopsided.high) == (float("-inf"), float("inf"))


def test_settings_with_other_seeds_are_not_compared():
    with pytest.raises(ValueError, match=r"seeds \[0, 1\] cannot be compared with seeds \[0\]"):
        compare({0: cell([(1, 1)]), 1: cell([(1, 1)])}, {0: cell([(1, 1)])}, measures())


def arguments(root: Path, *more: str) -> list[str]:
    return [
        "--model", str(root / "student.onnx"), "--data-root", str(root / "data"), "--data", "scenes", "--split", "gold",
        "--labeled", LABELED_SPLIT, "--out", str(root / "out"), "--seeds", "1", *more,
    ]  # fmt: skip


# The tests from here on export a student, which takes seconds.


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cells of two settings on generated scenes, with a student that learned nothing."""
    root = tmp_path_factory.mktemp("rules")
    write_scenes(root / "data", SceneCounts(train=3, labeled=2, gold=4, test=1), (64, 96))
    student = TinyStudent(len(scenes.CLASSES)).eval()
    module = build_export_module(student, build_method("csl", require_confidence=True), MEAN, STD, STRIDE)
    metadata = replace(tiny_metadata("csl", require_confidence=True), class_set=scenes.CLASSES)
    (root / "student.onnx").write_bytes(build_onnx(module, metadata).SerializeToString())
    assert region_rules.main(arguments(root, "--settings", "max_area_share=1")) == 0
    return root


@pytest.mark.slow
def test_a_cell_that_is_there_is_not_computed_again_and_those_of_other_settings_are_refused(
    computed: Path, capsys: pytest.CaptureFixture[str]
):
    before = {path.name: path.stat().st_mtime_ns for path in (computed / "out").glob("*.json")}
    (computed / "out" / "max_area_share=1-queue-oracle-seed0.json").unlink()
    capsys.readouterr()
    assert region_rules.main(arguments(computed, "--settings", "max_area_share=1")) == 0
    assert capsys.readouterr().err.splitlines() == ["[3/8] max_area_share=1-queue-oracle-seed0"]
    after = {path.name: path.stat().st_mtime_ns for path in (computed / "out").glob("*.json")}
    assert before.keys() == after.keys() and len(after) == 8
    assert sum(before[name] != after[name] for name in after) == 1
    changed = [*arguments(computed, "--settings", "max_area_share=1"), "--split", "test"]
    assert region_rules.main(changed) == 2
    assert "was made with other settings" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cells_books_end_where_its_steps_end(computed: Path):
    path = computed / "out" / "default-queue-oracle-seed0.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    counts = read_cell(path)
    assert counts.images.sum() == 4
    places = content["places"]
    assert counts.labeled.sum() == sum(place["pixels"] for place in places.values())
    assert counts.labeled.sum() - counts.hits[0].sum() == sum(place["wrong"] for place in places.values())
    assert counts.hits[-1].sum() > counts.hits[0].sum()
    assert 0 < counts.spent["decisions"][-1].sum() <= content["regions"]
    assert np.all(np.diff(counts.spent["clicks"].sum(axis=1)) >= 0)


@pytest.mark.slow
def test_images_that_the_student_learned_from_are_refused(computed: Path, capsys: pytest.CaptureFixture[str]):
    assert region_rules.main([*arguments(computed), "--split", "train"]) == 2
    assert "the student learned from 2 of these images" in capsys.readouterr().err


@pytest.mark.slow
def test_frames_beside_training_frames_are_left_out(computed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ids = [f"train_{number:04d}" for number in range(3)]
    write_split(computed / "data" / "splits" / "first", LabeledSplit((ids[0],), ()))
    write_split(computed / "data" / "splits" / "rest", LabeledSplit((ids[1], ids[2]), ()))
    options = ["--split", "train", "--labeled", "first", "--frames", "rest", "--settings", "--out", str(tmp_path)]
    assert region_rules.main([*arguments(computed), *options]) == 0
    assert f"left out, beside training frames: {ids[1]}\n" in capsys.readouterr().err
    assert read_cell(tmp_path / "default-queue-oracle-seed0.json").images.tolist() == [1]


@pytest.mark.slow
def test_the_report_names_every_setting_and_the_goals(computed: Path, capsys: pytest.CaptureFixture[str]):
    assert report.main([str(computed / "out")]) == 0
    text = (computed / "out" / "report.md").read_text(encoding="utf-8")
    assert text.count("| `max_area_share=1` |") == text.count("| `default` |") == 2
    assert "4 images of the split `gold`" in text
    assert text.count("`random_regions`: clicks and keys for the same labels") == 2
    assert (computed / "out" / "rules.png").read_bytes().startswith(b"\x89PNG")
