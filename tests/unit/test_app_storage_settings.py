"""Settings are checked when they are read, and the class list never changes in silence."""

import pytest

from app.config import Workspace
from app.domain.queue import QueueRules
from app.domain.regions import RegionRules
from app.storage.database import open_store
from app.storage.errors import StoreError
from app.storage.models import Setting
from app.storage.settings import (
    REVIEW_KEY,
    ClassSetChangedError,
    ReviewSettings,
    adopt_class_set,
    read_class_set,
    read_review_settings,
    require_class_set,
    write_review_settings,
)
from datasets.labels import ClassSet, default_colors

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(tmp_path):
    return open_store(Workspace(tmp_path), create=True)


def test_review_settings_come_back_as_they_were_written(store):
    written = ReviewSettings(
        region_rules=RegionRules(band_px=3), queue_rules=QueueRules(rarity_high=2.0), enough_share=0.01, method="csl",
        threshold=0.5,
    )  # fmt: skip
    with store.session() as session:
        write_review_settings(session, written)
    with store.reader() as session:
        assert read_review_settings(session) == written


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"enough_share": 7}, "enough_share"),
        ({"enuogh_share": 0.1}, "enuogh_share"),
        ({"region_rules": {"band": 2}}, "region_rules.band"),
        ({"region_rules": {"band_px": "wide"}}, "region_rules.band_px"),
        ({"queue_rules": {"discount": 1}}, "queue_rules.discount"),
    ],
    ids=["out-of-range", "unknown", "unknown-rule", "wrong-type", "unknown-order"],
)
def test_a_wrong_stored_setting_is_named(store, content, key):
    with store.session() as session:
        session.add(Setting(key=REVIEW_KEY, value=content))
    with store.reader() as session, pytest.raises(StoreError, match=f"wrong value at '{key}'"):
        read_review_settings(session)


def test_the_first_class_list_becomes_that_of_the_workspace(store):
    classes = ClassSet.from_names(("sky", "road"))
    with store.session() as session:
        adopt_class_set(session, classes, "folder")
    with store.reader() as session:
        assert read_class_set(session) == classes


CHOSEN = ((1, 2, 3), (250, 0, 9))
GIVEN = default_colors(2)
EARLIER = ((0, 114, 178), (126, 87, 0))
"""Their second one is the darker shade that an earlier version would have taken."""


@pytest.mark.parametrize(
    ("first", "later", "then"),
    [
        (CHOSEN, GIVEN, CHOSEN),
        (GIVEN, CHOSEN, CHOSEN),
        (CHOSEN, CHOSEN[::-1], CHOSEN[::-1]),
        (EARLIER, GIVEN, GIVEN),
        (EARLIER, EARLIER, GIVEN),
    ],
    ids=["chosen stay", "chosen later", "chosen anew", "of an earlier version", "of an earlier version, in a file"],
)
def test_colors_follow_the_latest_choice_of_somebody(store, first, later, then):
    for colors in (first, later):
        with store.session() as session:
            adopt_class_set(session, ClassSet(("sky", "road"), colors), "folder")
    with store.reader() as session:
        assert read_class_set(session) == ClassSet(("sky", "road"), then)


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        (("sky", "street"), "class 1 is 'road' here and 'street' there"),
        (("road", "sky"), "class 0 is 'sky' here and 'road' there"),
        (("sky",), "here are 2 classes, there 1"),
    ],
    ids=["renamed", "reordered", "fewer"],
)
def test_another_class_list_is_refused_and_the_first_difference_shown(store, names, difference):
    with store.session() as session:
        adopt_class_set(session, ClassSet.from_names(("sky", "road")), "folder")
    with pytest.raises(ClassSetChangedError, match=difference), store.session() as session:
        adopt_class_set(session, ClassSet.from_names(names), "folder")


def test_a_workspace_without_classes_says_what_to_do(store):
    with store.reader() as session, pytest.raises(StoreError, match="pixelsieve import"):
        require_class_set(session)
