"""What the threshold page counts: how images stand to the threshold in force, and how fast people work."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.cutting import Standing
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageRole
from app.services.threshold_page import threshold_view
from app.services.thresholds import choose_threshold, cut_images
from app.storage.database import Store
from app.storage.probes import ControlImage
from tests.unit.made_workspace import Reviewer, copy_store, make_template, pool_ids

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("threshold"), [f"pool_{number}" for number in range(5)])


@pytest.fixture
def store(reviewable: Path, tmp_path: Path) -> Iterator[Store]:
    store = copy_store(reviewable, tmp_path)
    yield store
    store.close()


def test_images_are_counted_as_a_new_cut_would_treat_them(store: Store) -> None:
    ann, ids = Reviewer(store), pool_ids(store)
    view = ann.region()
    ann.decide(DecisionKind.ACCEPT, view)
    others = [image_id for image_id in ids if image_id != view.row.image_id]
    with store.session() as session:
        session.add(ControlImage(image_id=others[0], seed=1, share=0.1, pool_size=5))
    held = frozenset(others[:2])
    assert counted(store, held) == {"as_chosen": 4, "control": 1, "decided": 0, "held": 0, "to_cut": 0}
    choose_threshold(store, Actor("lea", Role.LEAD), 0.25)
    assert counted(store, held) == {"as_chosen": 0, "control": 1, "decided": 1, "held": 1, "to_cut": 2}
    with store.reader() as session:
        cut = cut_images(session, 1, 0.25, held)
    one_by_one = Counter(each.standing for each in cut if each.image.role is ImageRole.POOL)
    assert {standing.value: one_by_one[standing] for standing in Standing} == counted(store, held)


def counted(store: Store, held: frozenset[int]) -> dict[str, int]:
    found: dict[str, int] = threshold_view(store, held)["standing"]
    return found


def test_the_pace_of_work_leaves_out_what_was_undone(store: Store) -> None:
    ann = Reviewer(store)
    for _ in range(3):
        ann.decide(DecisionKind.ACCEPT, ann.region())
    finished = []
    for act in (lambda: None, ann.undo, ann.undo, ann.redo):
        act()
        finished.append(threshold_view(store, frozenset())["pace"]["regions"])
    assert finished == [3, 2, 1, 2]
