"""Which model is current: promoted when gold allows it, or for a reason, or gone back to; and who decided that."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, update

from app.domain.promotion import PromotionLimits, RoundComparison, Verdict
from app.domain.roles import Actor, Role
from app.domain.states import ImageRole, ModelStatus
from app.services import gold as gold_module
from app.services import model_changes
from app.services.gold import measure_again
from app.services.model_changes import (
    ModelsChangedError,
    PromotionRefusedError,
    list_changes,
    promote,
    reject,
    roll_back,
)
from app.services.model_comparison import compare, compare_with_current
from app.services.model_limits import set_limits
from app.services.processes import Monitor
from app.services.round_folder import find_round
from app.storage.database import Store
from app.storage.models import Image, utc_now
from tests.unit.made_workspace import copy_store
from tests.unit.round_cases import (
    LEE,
    FakeCommands,
    FakePredictor,
    everything,
    import_pictures,
    models_by_round,
    run,
)

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported")
    import_pictures(root / "source", root / "workspace")
    return root / "workspace"


@pytest.fixture
def store(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(gold_module, "load_predictor", FakePredictor)
    store = copy_store(imported, tmp_path)
    yield store
    store.close()


@pytest.fixture
def commands(tmp_path: Path) -> FakeCommands:
    return FakeCommands(tmp_path / "started")


@pytest.fixture
def with_worse_candidate(store: Store, commands: FakeCommands) -> Store:
    run(store, commands)
    commands.quality = "dark"
    run(store, commands)
    return store


def test_a_worse_candidate_is_refused_and_nothing_changes(with_worse_candidate: Store) -> None:
    before = everything(with_worse_candidate)
    with pytest.raises(PromotionRefusedError, match="mIoU falls by 75.0 points"):
        promote(with_worse_candidate, 2, LEE)
    assert everything(with_worse_candidate) == before


def test_a_worse_candidate_is_promoted_with_a_reason_that_is_kept(with_worse_candidate: Store) -> None:
    promote(with_worse_candidate, 2, LEE, "the camera changed")
    found = models_by_round(with_worse_candidate)
    assert (found[2].status, found[2].note) == (ModelStatus.CURRENT, "the camera changed")
    assert found[1].status is ModelStatus.RETIRED


def test_a_better_candidate_is_promoted_without_a_reason(store: Store, commands: FakeCommands) -> None:
    commands.quality = "dark"
    run(store, commands)
    commands.quality = "perfect"
    run(store, commands)
    promote(store, 2, LEE)
    assert models_by_round(store)[2].status is ModelStatus.CURRENT


def test_an_earlier_model_can_be_promoted_again(with_worse_candidate: Store) -> None:
    promote(with_worse_candidate, 2, LEE, "a try at it")
    promote(with_worse_candidate, 1, LEE)
    found = {number: model.status for number, model in models_by_round(with_worse_candidate).items()}
    assert found == {1: ModelStatus.CURRENT, 2: ModelStatus.RETIRED}


def test_a_rejected_candidate_is_set_aside(with_worse_candidate: Store) -> None:
    reject(with_worse_candidate, 2, LEE)
    assert models_by_round(with_worse_candidate)[2].status is ModelStatus.REJECTED


def test_the_current_model_cannot_be_rejected(with_worse_candidate: Store) -> None:
    with pytest.raises(ValueError, match="only a candidate can be rejected"):
        reject(with_worse_candidate, 1, LEE)


def test_a_model_file_that_was_changed_is_not_promoted(with_worse_candidate: Store) -> None:
    find_round(with_worse_candidate.workspace, 2).onnx.write_text("perfect")
    with pytest.raises(ValueError, match="was changed after it was registered"):
        promote(with_worse_candidate, 2, LEE, "a reason given")


def test_a_model_file_that_is_missing_is_not_promoted(with_worse_candidate: Store) -> None:
    find_round(with_worse_candidate.workspace, 2).onnx.unlink()
    with pytest.raises(ValueError, match="is missing"):
        promote(with_worse_candidate, 2, LEE, "a reason given")


def test_the_current_model_is_measured_again_when_gold_images_changed(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "b").values(role=ImageRole.GOLD))
    run(store, commands)
    found = models_by_round(store)
    assert [found[number].gold["num_images"] for number in (1, 2)] == [3, 3]
    assert compare_with_current(store, 2).verdict == "promote"


def test_without_gold_images_a_candidate_needs_a_reason(store: Store, commands: FakeCommands) -> None:
    with store.session() as session:
        session.execute(update(Image).where(Image.role == ImageRole.GOLD).values(deleted_at=func.now()))
    run(store, commands)
    run(store, commands)
    with pytest.raises(PromotionRefusedError, match="never measured on gold"):
        promote(store, 2, LEE)


def test_an_unknown_model_is_a_lookup_error(store: Store) -> None:
    with pytest.raises(LookupError, match="there is no model 9"):
        promote(store, 9, LEE)


@pytest.mark.parametrize("reason", [None, "  ", "ok", "as told"])
def test_a_reason_that_says_nothing_is_none(with_worse_candidate: Store, reason: str | None) -> None:
    before = everything(with_worse_candidate)
    with pytest.raises(PromotionRefusedError, match="give a reason of at least 3 words"):
        promote(with_worse_candidate, 2, LEE, reason)
    assert everything(with_worse_candidate) == before


def test_who_promoted_what_when_and_why_is_recorded(with_worse_candidate: Store) -> None:
    before = utc_now()
    promote(with_worse_candidate, 2, LEE, "the camera changed")
    (change,) = list_changes(with_worse_candidate)
    assert (change.action, change.model_id, change.round, change.previous_round) == ("promoted", 2, 2, 1)
    assert (change.user, change.reason) == ("lee", "the camera changed")
    assert change.gold[0].startswith("mIoU falls by 75.0 points")
    assert before <= change.decided_at <= utc_now()


def test_a_refused_promotion_is_not_recorded(with_worse_candidate: Store) -> None:
    with pytest.raises(PromotionRefusedError):
        promote(with_worse_candidate, 2, LEE)
    assert list_changes(with_worse_candidate) == []


def test_limits_of_the_workspace_decide_what_needs_a_reason(with_worse_candidate: Store) -> None:
    set_limits(with_worse_candidate, LEE, PromotionLimits(miou_fall=1.0, class_fall=1.0))
    promote(with_worse_candidate, 2, LEE)
    assert models_by_round(with_worse_candidate)[2].status is ModelStatus.CURRENT


def test_what_was_decided_on_old_facts_is_refused(with_worse_candidate: Store) -> None:
    promote(with_worse_candidate, 2, LEE, "the camera changed")
    with pytest.raises(ModelsChangedError, match="round 2 is the current one by now"):
        roll_back(with_worse_candidate, 1, LEE, "it was better before", seen_current=1)
    assert models_by_round(with_worse_candidate)[2].status is ModelStatus.CURRENT


def test_a_model_that_changed_while_it_was_compared_is_not_promoted(
    with_worse_candidate: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare_and_be_overtaken(store: Store, old: int, new: int) -> RoundComparison:
        comparison = compare(store, old, new)
        reject(store, 2, Actor("ann", Role.LEAD))
        return comparison

    monkeypatch.setattr(model_changes, "compare", compare_and_be_overtaken)
    with pytest.raises(ModelsChangedError, match="decided about meanwhile"):
        promote(with_worse_candidate, 2, LEE, "the camera changed")
    found = {number: model.status for number, model in models_by_round(with_worse_candidate).items()}
    assert found == {1: ModelStatus.CURRENT, 2: ModelStatus.REJECTED}


def test_rolling_back_makes_the_earlier_model_current_whatever_gold_says(store: Store, commands: FakeCommands) -> None:
    commands.quality = "dark"
    run(store, commands)
    commands.quality = "perfect"
    run(store, commands)
    promote(store, 2, LEE)
    roll_back(store, 1, LEE, "its proposals were easier to correct")
    found = models_by_round(store)
    assert (found[1].status, found[2].status) == (ModelStatus.CURRENT, ModelStatus.RETIRED)
    assert found[1].note == "its proposals were easier to correct"
    newest = list_changes(store)[0]
    assert (newest.action, newest.previous_round, newest.user) == ("rolled_back", 2, "lee")


def test_rolling_back_takes_a_reason(with_worse_candidate: Store) -> None:
    promote(with_worse_candidate, 2, LEE, "the camera changed")
    before = everything(with_worse_candidate)
    with pytest.raises(ValueError, match="at least 3 words"):
        roll_back(with_worse_candidate, 1, LEE, "worse")
    assert everything(with_worse_candidate) == before


def test_a_candidate_is_promoted_and_not_gone_back_to(with_worse_candidate: Store) -> None:
    with pytest.raises(ValueError, match="promote it instead"):
        roll_back(with_worse_candidate, 2, LEE, "it is the better one")


@pytest.mark.parametrize("break_file", [Path.unlink, lambda path: path.write_text("perfect!")], ids=["gone", "changed"])
def test_a_model_whose_file_is_not_the_registered_one_is_not_gone_back_to(
    with_worse_candidate: Store, break_file: Callable[[Path], object]
) -> None:
    promote(with_worse_candidate, 2, LEE, "the camera changed")
    break_file(find_round(with_worse_candidate.workspace, 1).onnx)
    before = everything(with_worse_candidate)
    with pytest.raises(ValueError, match="is missing|was changed after it was registered"):
        roll_back(with_worse_candidate, 1, LEE, "it was better before")
    assert everything(with_worse_candidate) == before


def test_a_rejection_and_its_reason_are_recorded(with_worse_candidate: Store) -> None:
    reject(with_worse_candidate, 2, LEE, "too many errors")
    (change,) = list_changes(with_worse_candidate)
    assert (change.action, change.user, change.reason) == ("rejected", "lee", "too many errors")


def test_any_two_rounds_are_compared(store: Store, commands: FakeCommands) -> None:
    for quality in ("dark", "bright", "perfect"):
        commands.quality = quality
        run(store, commands)
    assert compare(store, 1, 3).miou.difference == 0.75
    assert compare(store, 3, 2).verdict is Verdict.REFUSE
    assert [change.difference for change in compare(store, 1, 2).classes] == [-0.5, 0.5]


def test_a_round_is_not_compared_with_itself(with_worse_candidate: Store) -> None:
    with pytest.raises(ValueError, match="cannot be compared with itself"):
        compare(with_worse_candidate, 2, 2)


def test_rounds_on_other_gold_images_are_comparable_after_measuring_both_again(
    store: Store, commands: FakeCommands
) -> None:
    for _ in range(3):
        run(store, commands)
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "b").values(role=ImageRole.GOLD))
    found = models_by_round(store)
    measure_again(store, found[3], Monitor())
    different = compare(store, 2, 3)
    assert different.verdict is Verdict.UNKNOWN
    assert "1 were added (b)" in different.reasons[0]
    measure_again(store, found[2], Monitor())
    assert compare(store, 2, 3).verdict is Verdict.PROMOTE
