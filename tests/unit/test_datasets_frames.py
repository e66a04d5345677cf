"""Held-out frames keep their distance from training frames, and count in blocks."""

import pytest

from datasets.formats import camvid
from datasets.frames import FrameRule, frame_blocks, near_frames, set_apart
from datasets.splits import beside, find_split, hold_out_blocks, read_split


def test_blocks_are_consecutive_frames_of_one_recording():
    names = [f"A_{number:03d}" for number in range(5)] + [f"B_{number:03d}" for number in range(4)]
    blocks = frame_blocks(names, frames=2)
    assert [blocks[name] for name in names] == ["A-00", "A-00", "A-01", "A-01", "A-02", "B-00", "B-00", "B-01", "B-01"]


def test_a_short_rest_joins_the_block_before():
    blocks = frame_blocks([f"A_{number:03d}" for number in range(49)], frames=20)
    assert [list(blocks.values()).count(name) for name in ("A-00", "A-01")] == [20, 29]


def test_the_test_frames_of_camvid_make_twelve_blocks(camvid_root):
    blocks = frame_blocks(camvid.build(camvid_root, "test").sample_ids)
    assert len(blocks) == 233 and len(set(blocks.values())) == 12


def test_pictures_without_a_number_are_blocks_of_their_own():
    assert frame_blocks(["left", "right"]) == {"left": "left", "right": "right"}


def frames(*numbers: int, recording: str = "A_") -> list[str]:
    return [f"{recording}{number:05d}" for number in numbers]


NEAR = {
    "the same frame": (frames(30), frames(30, 60, 90), 0, frames(30)),
    "beside a training frame": (frames(120, 150), frames(30, 60, 90), 1, frames(120)),
    "a gap of none allows neighbors": (frames(120, 150), frames(30, 60, 90), 0, []),
    "one frame in between": (frames(150, 180), frames(30, 60, 90), 1, []),
    "a gap of two": (frames(150, 180), frames(30, 60, 90), 2, frames(150)),
    "before the training frames": (frames(0), frames(30, 60, 90), 1, frames(0)),
    "other recordings have no neighbors": (frames(31, recording="B_"), frames(30, 60), 5, []),
    "a clip between training frames": (
        frames(*range(99, 200, 2)),
        frames(30, 60, 90, 300),
        1,
        frames(*range(99, 150, 2)),
    ),
    "held-out frames here and there, two of them neighbors": (
        frames(300, 330, 3000, 6000),
        frames(*range(30, 241, 30), *range(390, 2911, 30)),
        1,
        [],
    ),
    "every eighth picture of the list, the last ones at its end": (
        frames(240, 480, 720),
        frames(*range(30, 181, 30), *range(300, 421, 30), *range(540, 661, 30)),
        1,
        [],
    ),
    "every eighth picture, one neighbor not left out": (
        frames(240, 480, 720),
        frames(*range(30, 181, 30), *range(300, 421, 30), *range(540, 691, 30)),
        1,
        frames(720),
    ),
    "every thirtieth picture, training on a clip of every second": (
        frames(0, 30, 60, 90, 210, 240),
        frames(*range(100, 201, 2)),
        1,
        frames(60, 90, 210, 240),
    ),
    "a single frame each": (frames(31), frames(30), 1, frames(31)),
    "no number": (["left"], ["right", *frames(1)], 9, []),
}


@pytest.mark.parametrize("case", NEAR)
def test_frames_beside_training_frames_are_found(case):
    held_out, trained, gap, expected = NEAR[case]
    assert sorted(near_frames(held_out, trained, gap, FrameRule())) == expected


def test_a_near_frame_comes_with_its_nearest_training_frame():
    assert near_frames(frames(120), frames(30, 60, 90), 1, FrameRule()) == {"A_00120": "A_00090"}


def test_independent_pictures_have_no_neighbors_but_are_never_trained_on():
    rule = FrameRule(independent=True)
    assert near_frames(frames(30, 60), frames(31, 60), 5, rule) == {"A_00060": "A_00060"}


def test_a_pattern_says_what_recording_and_number_are():
    rule = FrameRule(pattern=r"^(\w+)-(\d+)-")
    assert near_frames(["tram-7-left", "bus-9-left"], ["tram-6-left"], 0, rule) == {}
    assert near_frames(["tram-7-left", "bus-9-left"], ["tram-6-left"], 1, rule) == {"tram-7-left": "tram-6-left"}


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [("(", "no regular expression"), (r"(\d+)", "has 1 groups"), (r"(\d+)(x)", "does not fit")],
)
def test_a_wrong_pattern_says_what_is_wrong_with_it(pattern, problem):
    with pytest.raises(ValueError, match=problem):
        FrameRule(pattern=pattern).frame_of("1x")


def test_a_pattern_for_independent_pictures_is_refused():
    with pytest.raises(ValueError, match="not both"):
        FrameRule(independent=True, pattern=r"(.)(\d)")


def test_blocks_at_the_ends_of_recordings_are_set_apart():
    chosen = set_apart([*frames(*range(20)), *frames(*range(10), recording="B_")], 0.2, 0, FrameRule())
    assert chosen in [
        tuple([*frames(*first), *frames(*second, recording="B_")])
        for first in (range(4), range(16, 20))
        for second in (range(2), range(8, 10))
    ]


def test_single_pictures_are_set_apart_by_chance():
    names = frames(*range(40))
    chosen = set_apart(names, 0.25, 0, FrameRule(independent=True))
    assert len(chosen) == 10 and chosen != tuple(names[:10]) and chosen != tuple(names[-10:])
    assert chosen != set_apart(names, 0.25, 1, FrameRule(independent=True))


def test_the_val_clip_of_camvid_is_too_near_to_its_training_frames(camvid_root):
    trained, clip = (camvid.build(camvid_root, split).sample_ids for split in ("train", "val"))
    assert set(near_frames(clip, trained, 1, FrameRule())) == {
        *(f"0016E5_{number:05d}" for number in range(7959, 7980, 2)),
        *(f"0016E5_{number:05d}" for number in range(8131, 8160, 2)),
    }


def test_blocks_held_out_by_import_keep_a_gap_of_one(camvid_root):
    names = camvid.build(camvid_root, "train").sample_ids
    kept, held_out = hold_out_blocks(names, 0.2, 0)
    without = set(kept) - set(beside(names, held_out))
    assert near_frames(held_out, kept, 1, FrameRule()) and not near_frames(held_out, without, 1, FrameRule())


@pytest.mark.parametrize("split", ["1_16", "1_8", "1_4"])
def test_gold_held_out_from_sparse_labels_keeps_a_gap_of_one_to_all_pictures_without_its_neighbors(camvid_root, split):
    names = camvid.build(camvid_root, "train").sample_ids
    _, gold = hold_out_blocks(read_split(find_split(camvid_root, split)).labeled, 0.2, 0)
    without = set(names) - set(gold) - set(beside(names, gold))
    assert near_frames(gold, without, 1, FrameRule()) == {}
