"""What the images of an import become: which are gold, which are left out beside it, what later rounds know of it."""

from pathlib import Path

import pytest

from app.config import Workspace
from app.services.local_actor import local_actor
from app.services.model_limits import ask_promise, read_asked
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import Store, open_store
from tests.unit.round_cases import write_dataset

NAMES = [f"frame_{number:03}" for number in range(30)]


def bring_in(store: Store, source: Path, independent: bool) -> None:
    plan = plan_import(ImportSource(source, "folder", independent=independent))
    run_import(store, plan, lambda progress: None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "source", {"train": NAMES})
    return tmp_path / "source"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(Workspace(tmp_path / "ws"), create=True)


def test_gold_frames_are_a_block_and_the_frame_beside_it_is_left_out(source: Path) -> None:
    plan = plan_import(ImportSource(source, "folder"))
    assert list(plan.held_out) in (NAMES[:6], NAMES[-6:]) and len(plan.left_out) == 1


def test_independent_gold_images_are_drawn_by_chance_and_nothing_is_left_out(source: Path) -> None:
    plan = plan_import(ImportSource(source, "folder", independent=True))
    assert len(plan.held_out) == 6 and plan.left_out == ()
    assert list(plan.held_out) not in (NAMES[:6], NAMES[-6:])
    assert sorted((*plan.labeled, *plan.held_out)) == NAMES
    assert plan.held_out != plan_import(ImportSource(source, "folder", seed=1, independent=True)).held_out


def test_the_next_calibration_knows_that_pictures_are_independent(store: Store, source: Path) -> None:
    bring_in(store, source, independent=True)
    assert read_asked(store).independent


def test_one_import_of_frames_makes_all_count_as_frames(store: Store, source: Path, tmp_path: Path) -> None:
    bring_in(store, source, independent=True)
    write_dataset(tmp_path / "more", {"train": [f"video_{number:03}" for number in range(12)]})
    bring_in(store, tmp_path / "more", independent=False)
    assert not read_asked(store).independent


def test_independent_pictures_added_to_frames_stay_frames(store: Store, source: Path, tmp_path: Path) -> None:
    bring_in(store, source, independent=False)
    write_dataset(tmp_path / "more", {"train": [f"photo_{number:03}" for number in range(12)]})
    bring_in(store, tmp_path / "more", independent=True)
    assert not read_asked(store).independent


def test_asking_for_one_thing_leaves_the_other_as_it_was(store: Store) -> None:
    ask_promise(store, local_actor(), independent=True)
    assert ask_promise(store, local_actor(), alpha=0.05).independent
    assert ask_promise(store, local_actor(), independent=False).alpha == 0.05
