"""Actions that are kept from report to report are those that reading the whole log would give."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from app.domain.states import DecisionKind
from app.services.action_log import read_actions
from app.services.kept_actions import KeptActions
from tests.unit.made_workspace import Reviewer, copy_store, make_template


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("template"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(template: Path, tmp_path: Path) -> Reviewer:
    return Reviewer(copy_store(template, tmp_path))


def all_of(ann: Reviewer) -> list:
    """What counts, read from the beginning."""
    counted = [each for each in read_actions(ann.store) if not each.is_undone and each.action is not DecisionKind.UNDO]
    return [replace(each, top_classes=()) for each in counted]


def test_what_is_decided_taken_back_and_done_again_is_followed(ann: Reviewer) -> None:
    kept = KeptActions(ann.store)
    assert list(kept.counting()) == []
    steps = [
        lambda: ann.decide(DecisionKind.ACCEPT, ann.region()),
        lambda: ann.decide(DecisionKind.SKIP, ann.region()),
        ann.undo, ann.undo, ann.redo, ann.undo, ann.redo, ann.redo,
    ]  # fmt: skip
    for step in steps:
        step()
        assert list(kept.counting()) == all_of(ann)
    assert len(kept.counting()) == 2


@pytest.mark.parametrize("most", [1, 100], ids=["too-many-to-keep", "kept"])
def test_only_new_rows_are_read_while_there_are_not_too_many(ann: Reviewer, most: int) -> None:
    kept = KeptActions(ann.store, most)
    for _ in range(2):
        ann.decide(DecisionKind.ACCEPT, ann.region())
    kept.counting()
    ann.decide(DecisionKind.ACCEPT, ann.region())
    read: list[int] = []
    with ann.store.reader() as session:
        bind = session.get_bind()

    def count(_connection, _cursor, statement, parameters, *_rest) -> None:
        if "decision.id > " in statement:
            read.append(parameters[0])

    event.listen(bind, "after_cursor_execute", count)
    assert list(kept.counting()) == all_of(ann)
    event.remove(bind, "after_cursor_execute", count)
    last_kept = all_of(ann)[1].id
    assert read[0] == (0 if most == 1 else last_kept)


def test_rows_that_were_replaced_are_read_from_the_beginning(ann: Reviewer, template: Path, tmp_path: Path) -> None:
    """As by going back to a snapshot: the same numbers of rows may be others."""
    kept = KeptActions(ann.store)
    other = Reviewer(copy_store(template, tmp_path / "other"), user="ben")
    for reviewer in (ann, other):
        reviewer.decide(DecisionKind.ACCEPT, reviewer.region())
    assert [each.user for each in kept.counting()] == ["ann"]
    kept._store = other.store
    assert [each.user for each in kept.counting()] == ["ben"]
