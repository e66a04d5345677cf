"""Deltas, replay and the arithmetic of undo and redo."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from app.domain.decisions import (
    UNTOUCHED,
    Delta,
    LabelState,
    Operation,
    base_provenance,
    decode_delta,
    delta_from_mask,
    effective_ids,
    encode_delta,
    merged,
    redo_stack,
    redo_target,
    replay,
    standing_undo,
    stored_bbox,
    undo_stack,
    undo_target,
)
from app.domain.states import DecisionKind
from datasets.labels import IGNORE_INDEX, Provenance

SIZE_HW = (17, 23)
ids = st.sampled_from([0, 1, 2, IGNORE_INDEX, UNTOUCHED])


@st.composite
def deltas(draw):
    x0, y0 = draw(st.integers(0, SIZE_HW[1] - 1)), draw(st.integers(0, SIZE_HW[0] - 1))
    shape = draw(st.tuples(st.integers(1, SIZE_HW[0] - y0), st.integers(1, SIZE_HW[1] - x0)))
    return Delta(x0, y0, draw(st_np.arrays(np.uint8, shape, elements=ids)))


@st.composite
def states(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return LabelState(rng.integers(0, 3, SIZE_HW, dtype=np.uint8), base_provenance(rng.random(SIZE_HW) < 0.5))


@given(deltas())
def test_a_stored_delta_is_read_back_exactly(delta):
    restored = decode_delta(encode_delta(delta), SIZE_HW)
    assert restored.bbox == delta.bbox == stored_bbox(encode_delta(delta))
    assert np.array_equal(restored.values, delta.values)


def bomb():
    header = encode_delta(Delta(0, 0, np.zeros((2, 2), np.uint8)))[:17]
    return header + zlib.compress(bytes(50_000_000), 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "at least"),
        (b"\x07" + encode_delta(Delta(0, 0, np.zeros((2, 2), np.uint8)))[1:], "format 7"),
        (encode_delta(Delta(22, 0, np.zeros((2, 2), np.uint8))), "leaves its 23x17 image"),
        (encode_delta(Delta(0, 0, np.zeros((2, 2), np.uint8)))[:-3], "inflate to exactly 4|damaged"),
        (encode_delta(Delta(0, 0, np.zeros((2, 2), np.uint8))) + b"x", "inflate to exactly 4"),
        (encode_delta(Delta(0, 0, np.zeros((2, 2), np.uint8)))[:17] + b"nonsense", "damaged"),
        (bomb(), "inflate to exactly 4"),
    ],
    ids=["empty", "format", "outside", "cut", "tail", "noise", "bomb"],
)
def test_damaged_bytes_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        decode_delta(content, SIZE_HW)


def test_a_delta_with_a_class_the_workspace_lacks_is_refused():
    with pytest.raises(ValueError, match=r"class ids \[7\]; allowed are 0-2"):
        Delta(0, 0, np.full((2, 2), 7, np.uint8)).check(SIZE_HW, num_classes=3)


def test_a_delta_that_leaves_the_image_is_refused():
    with pytest.raises(ValueError, match="leaves the image"):
        Delta(20, 0, np.zeros((2, 4), np.uint8)).check(SIZE_HW, num_classes=3)


def test_a_delta_made_from_a_mask_is_as_small_as_possible():
    touched_mask = np.zeros((6, 7), bool)
    touched_mask[2:4, 3] = True
    delta = delta_from_mask(touched_mask, np.full((6, 7), 2, np.uint8), x0=10, y0=20)
    assert delta.bbox == (13, 22, 14, 24)
    assert delta.values.tolist() == [[2], [2]]


@given(states(), st.lists(deltas(), max_size=8))
def test_replay_sets_exactly_the_pixels_of_the_deltas_and_the_last_one_wins(base, edits):
    expected, human = base.label.copy(), np.zeros(SIZE_HW, bool)
    for delta in edits:
        for row, column in np.argwhere(delta.values != UNTOUCHED):
            expected[delta.y0 + row, delta.x0 + column] = delta.values[row, column]
            human[delta.y0 + row, delta.x0 + column] = True
    state = replay(base, edits)
    assert np.array_equal(state.label, expected)
    assert np.array_equal(state.provenance == Provenance.HUMAN, human)
    assert np.array_equal(state.provenance[~human], base.provenance[~human])


@given(states(), st.lists(deltas(), max_size=6), deltas())
def test_replay_inside_a_box_equals_the_box_of_the_replay(base, edits, box):
    crop = LabelState(base.label[box.rows_columns], base.provenance[box.rows_columns])
    inside, whole = replay(crop, edits, box.x0, box.y0), replay(base, edits)
    assert np.array_equal(inside.label, whole.label[box.rows_columns])
    assert np.array_equal(inside.provenance, whole.provenance[box.rows_columns])


@given(states(), st.lists(deltas(), min_size=1, max_size=6))
def test_merged_deltas_do_what_all_of_them_do_in_order(base, edits):
    one, expected = merged(edits), replay(base, edits)
    state = replay(base, [one])
    assert np.array_equal(state.label, expected.label) and np.array_equal(state.provenance, expected.provenance)


def test_no_deltas_merge_to_none():
    assert merged([]) is None


@given(deltas(), deltas())
def test_two_deltas_conflict_when_they_set_a_common_pixel(one, other):
    sets = [{(d.y0 + y, d.x0 + x) for y, x in np.argwhere(d.touched_mask).tolist()} for d in (one, other)]
    assert one.conflicts_with(other) is bool(sets[0] & sets[1])


class Log:
    """An append-only log of one person, as the store keeps it."""

    def __init__(self):
        self.operations: list[Operation] = []

    def add(self, undoes: Operation | None = None):
        kind = DecisionKind.DRAW if undoes is None else DecisionKind.UNDO
        target = None if undoes is None else undoes.op_id
        self.operations.append(Operation(str(len(self.operations)), kind, target, undoes and undoes.kind))

    def step(self, action):
        newest_first = reversed(self.operations)
        if action == "do":
            self.add()
            return
        found = undo_target(newest_first) if action == "undo" else redo_target(newest_first)
        if found is not None:
            self.add(undoes=found)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["do", "undo", "redo"]), max_size=30))
def test_undo_and_redo_behave_like_the_two_stacks_of_an_editor(actions):
    log, done, undone = Log(), [], []
    for action in actions:
        if action == "do":
            done.append(str(len(log.operations)))
            undone.clear()
        elif action == "undo" and done:
            undone.append(done.pop())
        elif action == "redo" and undone:
            done.append(undone.pop())
        log.step(action)
        assert effective_ids(log.operations) == frozenset(done)
        assert [operation.op_id for operation in undo_stack(reversed(log.operations))] == done[::-1]
        assert [operation.undoes for operation in redo_stack(reversed(log.operations))] == undone[::-1]
        standing = {op_id: standing_undo(log.operations, op_id) for op_id in (*done, *undone)}
        assert {op_id for op_id, undo in standing.items() if undo is not None} == set(undone)
        assert all(undo.undoes == op_id for op_id, undo in standing.items() if undo is not None)


@given(states(), st.lists(deltas(), min_size=1, max_size=8))
def test_n_operations_and_n_undos_restore_the_initial_bytes_and_n_redos_the_edited_ones(base, edits):
    log, by_id = Log(), {}
    for delta in edits:
        by_id[str(len(log.operations))] = delta
        log.step("do")
    edited = replay(base, edits)
    for action, expected in (("undo", base), ("redo", edited)):
        for _ in edits:
            log.step(action)
        counting = effective_ids(log.operations)
        state = replay(base, [delta for op_id, delta in by_id.items() if op_id in counting])
        assert state.label.tobytes() == expected.label.tobytes()
        assert state.provenance.tobytes() == expected.provenance.tobytes()
