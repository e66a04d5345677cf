"""What FiftyOne is told, what differs there, and what its tags mean."""

import numpy as np
import pytest

from app.domain.explorer import TagCommand, TagOrder, find_changes, merge_tags, read_orders, shown_ids


@pytest.mark.parametrize(
    ("tags", "orders"),
    [
        ((), ()),
        (("flag", "Review"), (TagOrder(TagCommand.FLAG), TagOrder(TagCommand.REVIEW))),
        (
            ("assign:Ann Lee", "assign: bob "),
            (TagOrder(TagCommand.ASSIGN, "Ann Lee"), TagOrder(TagCommand.ASSIGN, "bob")),
        ),
        (("assign", "assign:", "flag:ann", "review please", "night", "state:open"), ()),
        (("flag", "FLAG ", "flag"), (TagOrder(TagCommand.FLAG),)),
    ],
    ids=["none", "words", "names", "not ours", "twice"],
)
def test_tags_are_read_as_orders_and_others_mean_nothing(tags, orders):
    assert read_orders(tags) == set(orders)


@pytest.mark.parametrize("order", [TagOrder(TagCommand.FLAG), TagOrder(TagCommand.ASSIGN, "ann")])
def test_an_order_is_read_from_its_own_tag(order):
    assert read_orders([order.tag]) == {order}


def test_a_sync_replaces_our_tags_and_keeps_the_persons_in_their_order():
    assert merge_tags(["night", "state:open", "blurred"], ["state:done", "role:pool"]) == [
        "night", "blurred", "role:pool", "state:done",
    ]  # fmt: skip


def test_void_becomes_the_value_that_is_never_painted_and_every_class_stays_apart():
    label = np.array([[0, 1], [254, 255]], np.uint8)
    assert shown_ids(label).tolist() == [[1, 2], [255, 0]]
    assert label.tolist() == [[0, 1], [254, 255]]


WANTED = {"a": {"tags": ["state:open"], "score": 1.0}, "b": {"tags": [], "score": None}}


def test_equal_samples_give_no_change_whatever_tags_people_added():
    present = {"a": {"tags": ["state:open", "night"], "score": 1.0}, "b": {"tags": None, "score": None}}
    assert find_changes(WANTED, present).is_empty


def test_only_fields_that_differ_are_written():
    present = {"a": {"tags": ["night", "state:done"], "score": 1.0}, "c": {"tags": [], "score": 3.0}}
    changes = find_changes(WANTED, present)
    assert changes.changed == {"tags": {"a": ["night", "state:open"]}}
    assert (changes.added, changes.removed, changes.changed_keys) == (("b",), ("c",), {"a"})
