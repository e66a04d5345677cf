"""Images of the pool beside gold: kept as the model file sees them, and told wherever a promise is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select, update
from typer.testing import CliRunner

from app.__main__ import application
from app.domain.roles import Actor, Role
from app.domain.shift import Shift, judge_shift
from app.services import thresholds
from app.services.proposals import store_proposal
from app.services.thresholds import choose_threshold, cuts_in_force
from app.storage.database import Store
from app.storage.models import Image, Model, Proposal, utc_now
from tests.unit.made_workspace import copy_store, make_prediction, make_template, pool_ids


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("shift"), [f"pool_{number}" for number in range(6)])


@pytest.fixture
def store(reviewable: Path, tmp_path: Path) -> Iterator[Store]:
    store = copy_store(reviewable, tmp_path)
    yield store
    store.close()


def seen(store: Store) -> list[tuple[float, ...]]:
    with store.reader() as session:
        rows = session.scalars(select(Proposal).where(Proposal.active).order_by(Proposal.id))
        return [(row.file_coverage, row.mean_wrong, *row.appearance) for row in rows]  # type: ignore[misc]


def set_gold(store: Store, gold: list[tuple[float, ...]]) -> None:
    with store.session() as session:
        session.execute(update(Model).values(gold={"seen": [list(each) for each in gold]}))


def test_what_the_file_calls_reliable_is_kept_whatever_threshold_was_chosen(store: Store) -> None:
    before = seen(store)
    choose_threshold(store, Actor("lea", Role.LEAD), 1.0)
    image_id, prediction = pool_ids(store)[0], make_prediction(0)
    with store.reader() as session:
        model_id = session.scalars(select(Model.id)).one()
    assert store_proposal(store, image_id, model_id, prediction)
    expected = prediction.reliable.mean(), 1 - prediction.probability_right.mean(dtype=np.float64)
    assert seen(store)[-1][:2] == pytest.approx(expected) and 0 < expected[0] < 1
    assert len(before) == 6 and len(before[0]) == 7


def test_a_pool_that_looks_unlike_gold_is_told_beside_the_promise(store: Store) -> None:
    rng = np.random.default_rng(0)
    set_gold(store, [(float(share), 0.4, *[0.5] * 5) for share in rng.uniform(0.1, 0.2, 40)])
    with store.reader() as session:
        (cut,) = cuts_in_force(session)
    told = cut.to_json()
    assert (told["unlike_gold"], told["is_shifted"]) == (6, True)
    said = CliRunner().invoke(application, ["threshold", "show", "--at", "0.2", "-w", str(store.workspace.root)]).stdout
    assert "6 of 6 images of the pool look unlike the 40 gold images; chance alone makes it about 0" in said
    assert "No promise covers images of another kind" in said


def test_a_pool_like_gold_is_no_alarm(store: Store) -> None:
    set_gold(store, seen(store) * 4)
    with store.reader() as session:
        (cut,) = cuts_in_force(session)
    assert (cut.shift.unlike, cut.shift.is_alarm) == (0, False)


@pytest.mark.usefixtures("each_database")
def test_a_pool_is_compared_with_gold_again_only_when_either_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def count(gold: NDArray[np.float64], pool: NDArray[np.float64], are_frames: bool) -> Shift:
        compared.append(len(pool))
        return judge_shift(gold, pool, are_frames)

    def look() -> int:
        with store.reader() as session:
            return sum(cut.images for cut in cuts_in_force(session))

    monkeypatch.setattr(thresholds, "_shifts", {})
    monkeypatch.setattr(thresholds, "judge_shift", count)
    set_gold(store, [(0.3, 0.2, *[0.5] * 5)] * 30)
    assert (look(), look(), compared) == (6, 6, [6])
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "pool_2").values(deleted_at=utc_now()))
    assert (look(), look(), compared) == (5, 5, [6, 5])
    assert store_proposal(store, pool_ids(store)[0], 1, make_prediction(9))
    assert (look(), look(), compared) == (5, 5, [6, 5, 5])
    set_gold(store, [(0.4, 0.2, *[0.5] * 5)] * 30)
    assert (look(), look(), compared) == (5, 5, [6, 5, 5, 5])


def test_proposals_from_before_it_was_kept_are_said_to_tell_nothing(store: Store) -> None:
    with store.session() as session:
        session.execute(update(Proposal).values(file_coverage=None, mean_wrong=None, appearance=None))
    set_gold(store, [(0.5, 0.1, *[0.5] * 5)] * 30)
    with store.reader() as session:
        (cut,) = cuts_in_force(session)
    assert cut.shift.sentence.startswith("Nothing says") and not cut.shift.is_alarm
