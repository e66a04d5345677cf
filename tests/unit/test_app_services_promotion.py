"""Promotion: a model is replaced only by one that gold says is no worse, or with a reason."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, update

from app.config import Workspace
from app.domain.states import ImageRole, ModelStatus
from app.services import gold as gold_module
from app.services.round_folder import find_round
from app.services.rounds import PromotionRefusedError, compare, promote, reject
from app.storage.database import Store, open_store
from app.storage.models import Image
from tests.unit.round_cases import (
    FakeCommands,
    FakePredictor,
    everything,
    import_pictures,
    models_by_round,
    run,
)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported")
    import_pictures(root / "source", root / "workspace")
    return root / "workspace"


@pytest.fixture
def store(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(gold_module, "load_predictor", FakePredictor)
    store = open_store(Workspace(Path(shutil.copytree(imported, tmp_path / "workspace"))))
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
        promote(with_worse_candidate, 2)
    assert everything(with_worse_candidate) == before


def test_a_blank_reason_is_no_reason(with_worse_candidate: Store) -> None:
    with pytest.raises(PromotionRefusedError):
        promote(with_worse_candidate, 2, "  ")


def test_a_worse_candidate_is_promoted_with_a_reason_that_is_kept(with_worse_candidate: Store) -> None:
    promote(with_worse_candidate, 2, "the camera changed")
    found = models_by_round(with_worse_candidate)
    assert (found[2].status, found[2].note) == (ModelStatus.CURRENT, "the camera changed")
    assert found[1].status is ModelStatus.RETIRED


def test_a_better_candidate_is_promoted_without_a_reason(store: Store, commands: FakeCommands) -> None:
    commands.quality = "dark"
    run(store, commands)
    commands.quality = "perfect"
    run(store, commands)
    promote(store, 2)
    assert models_by_round(store)[2].status is ModelStatus.CURRENT


def test_an_earlier_model_can_be_promoted_again(with_worse_candidate: Store) -> None:
    promote(with_worse_candidate, 2, "a try")
    promote(with_worse_candidate, 1)
    found = {number: model.status for number, model in models_by_round(with_worse_candidate).items()}
    assert found == {1: ModelStatus.CURRENT, 2: ModelStatus.RETIRED}


def test_a_rejected_candidate_is_set_aside(with_worse_candidate: Store) -> None:
    reject(with_worse_candidate, 2)
    assert models_by_round(with_worse_candidate)[2].status is ModelStatus.REJECTED


def test_the_current_model_cannot_be_rejected(with_worse_candidate: Store) -> None:
    with pytest.raises(ValueError, match="only a candidate can be rejected"):
        reject(with_worse_candidate, 1)


def test_a_model_file_that_was_changed_is_not_promoted(with_worse_candidate: Store) -> None:
    find_round(with_worse_candidate.workspace, 2).onnx.write_text("perfect")
    with pytest.raises(ValueError, match="was changed after it was registered"):
        promote(with_worse_candidate, 2, "a reason")


def test_a_model_file_that_is_missing_is_not_promoted(with_worse_candidate: Store) -> None:
    find_round(with_worse_candidate.workspace, 2).onnx.unlink()
    with pytest.raises(ValueError, match="is missing"):
        promote(with_worse_candidate, 2, "a reason")


def test_the_current_model_is_measured_again_when_gold_images_changed(store: Store, commands: FakeCommands) -> None:
    run(store, commands)
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "b").values(role=ImageRole.GOLD))
    run(store, commands)
    found = models_by_round(store)
    assert [found[number].gold["num_images"] for number in (1, 2)] == [3, 3]
    assert compare(store, 2).verdict == "promote"


def test_without_gold_images_a_candidate_needs_a_reason(store: Store, commands: FakeCommands) -> None:
    with store.session() as session:
        session.execute(update(Image).where(Image.role == ImageRole.GOLD).values(deleted_at=func.now()))
    run(store, commands)
    run(store, commands)
    with pytest.raises(PromotionRefusedError, match="There are no gold images"):
        promote(store, 2)


def test_an_unknown_model_is_a_lookup_error(store: Store) -> None:
    with pytest.raises(LookupError, match="there is no model 9"):
        promote(store, 9)
