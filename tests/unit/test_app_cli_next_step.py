"""The next command: what status says is what predict, export and rollback say at their end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.cli.next_step import Ahead, next_command, next_step
from app.cli.review import status
from app.domain.states import ImageState, ModelStatus, RegionState
from app.services.failed_predictions import note_failure
from app.services.predicting import has_doubts, unpredicted_images
from app.services.reviewing import ReviewService
from app.services.round_folder import RoundPlan, RoundState, new_round
from app.storage.database import Store
from app.storage.models import Image, Model, Proposal, Region
from app.storage.trust_settings import TrustSettings
from tests.unit.made_workspace import copy_store, make_template, set_trust


def model(status: ModelStatus) -> Model:
    return Model(id=7, round=1, status=status, onnx_path="x", onnx_sha256="x")


CURRENT, CANDIDATE = model(ModelStatus.CURRENT), model(ModelStatus.CANDIDATE)


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make_template(tmp_path_factory.mktemp("ahead"), ("pool_0", "pool_1")))


@pytest.fixture
def store(reviewable: Path, tmp_path: Path) -> Iterator[Store]:
    store = copy_store(reviewable, tmp_path)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("ahead", "command"),
    [
        (Ahead([], False, 5, 0), "train"),
        (Ahead([], True, 5, 0), "export"),
        (Ahead([CURRENT], True, 5, 3), "export"),
        (Ahead([CANDIDATE], False, 5, 3), "promote 7"),
        (Ahead([CURRENT], False, 5, 3), "predict"),
        (Ahead([CURRENT], False, 0, 3), "review"),
        (Ahead([CURRENT], False, 0, 0), "retrain"),
    ],
    ids=["nothing", "trained", "trained again", "candidate", "unpredicted", "regions", "all decided"],
)
def test_the_next_command_finishes_what_was_begun(ahead: Ahead, command: str) -> None:
    assert next_command(ahead, "-w x").startswith(f"pixelsieve {command} -w x")


def test_a_trained_round_that_is_not_registered_is_exported_next(store: Store) -> None:
    folder = new_round(store.workspace, 9)
    folder.write(RoundPlan("demo", {}, None, False, ""), RoundState.TRAINED)
    assert next_step(store, store.workspace).startswith("pixelsieve export")


def test_labeled_images_that_may_become_decoys_wait_for_no_prediction(store: Store) -> None:
    set_trust(store, TrustSettings(planted_share=0.04))
    assert (ReviewService(store).counts().images_waiting, unpredicted_images(store)) == (2, 0)
    assert "pixelsieve review" in next_step(store, store.workspace)


def test_another_current_model_leaves_every_image_to_be_predicted(store: Store) -> None:
    assert unpredicted_images(store) == 0
    with store.session() as session:
        session.execute(update(Model).values(status=ModelStatus.RETIRED))
        session.flush()
        session.add(Model(round=8, onnx_path="x", onnx_sha256="x", status=ModelStatus.CURRENT))
    assert unpredicted_images(store) == 2
    assert "pixelsieve predict" in next_step(store, store.workspace)


def test_an_image_that_no_prediction_can_read_keeps_nobody_from_reviewing_and_is_named(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with store.session() as session:
        damaged = session.scalars(select(Image).where(Image.sample_id == "pool_1")).one()
        session.execute(update(Proposal).where(Proposal.image_id == damaged.id).values(active=False))
    assert "pixelsieve predict" in next_step(store, store.workspace)
    note_failure(store, damaged, 1, "its file is no picture")
    assert "pixelsieve review" in next_step(store, store.workspace)
    status(store.workspace.root)
    assert "No proposal for pool_1: its file is no picture" in capsys.readouterr().out


def test_a_model_that_was_sure_everywhere_leaves_nothing_to_be_asked(store: Store) -> None:
    assert has_doubts(store)
    with store.session() as session:
        session.execute(update(Image).values(state=ImageState.DONE))
    assert not has_doubts(store)
    with store.session() as session:
        session.execute(update(Region).values(state=RegionState.DECIDED))
    assert has_doubts(store)
