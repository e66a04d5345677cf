"""Labeled and unlabeled lists: read, written, drawn by a seed; and frames held out without neighbours."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.splits import (
    LabeledSplit,
    beside,
    find_split,
    hold_out_blocks,
    make_split,
    read_split,
    sequence_of,
    write_split,
)


def lists(folder, labeled, unlabeled):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labeled.txt").write_text(labeled, encoding="utf-8")
    (folder / "unlabeled.txt").write_text(unlabeled, encoding="utf-8")
    return folder


def frames(prefix, count):
    return [f"{prefix}_{number:05d}" for number in range(count)]


def test_written_split_is_read_back(tmp_path):
    split = LabeledSplit(("a_1", "city/b_2"), ("c.3",))
    write_split(tmp_path / "s", split)
    assert read_split(tmp_path / "s") == split


def test_empty_unlabeled_list_is_read_back(tmp_path):
    split = LabeledSplit(("a",), ())
    write_split(tmp_path / "s", split)
    assert read_split(tmp_path / "s") == split


def test_paths_of_image_and_mask_give_ids(tmp_path):
    folder = lists(
        tmp_path, "images/train/a_1.jpg masks/train/a_1.png\n", "images/train/city/b_2.jpg\nimages/c_3.jpg\n"
    )
    assert read_split(folder) == LabeledSplit(("a_1",), ("city/b_2", "c_3"))


def test_blank_lines_byte_order_mark_and_windows_line_ends_are_ignored(tmp_path):
    folder = lists(tmp_path, "\ufeffa\r\n\r\nb\r\n", "\n")
    assert read_split(folder) == LabeledSplit(("a", "b"), ())


@pytest.mark.parametrize(
    ("labeled", "unlabeled", "message"),
    [
        ("a\nb\na\n", "", r"labeled.txt, line 3: 'a' is listed already in .*labeled.txt, line 1"),
        ("a\n", "b\na\n", r"unlabeled.txt, line 2: 'a' is listed already in .*/labeled.txt, line 1"),
        ("", "a\n", "labeled.txt: a split needs at least one labeled sample"),
        ("a b c\n", "", "labeled.txt, line 1: expected a sample id"),
        ("../a.jpg\n", "", r"labeled.txt, line 1: the name '../a.jpg' contains '\.\.'"),
        ("/etc/passwd\n", "", "labeled.txt, line 1: the name '/etc/passwd' is an absolute path"),
    ],
    ids=["twice", "in-both", "no-label", "three-words", "parent", "absolute"],
)
def test_wrong_list_is_refused_with_file_and_line(tmp_path, labeled, unlabeled, message):
    with pytest.raises(ValueError, match=message):
        read_split(lists(tmp_path, labeled, unlabeled))


def test_binary_list_is_refused(tmp_path):
    folder = lists(tmp_path, "a", "b")
    (folder / "labeled.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match="labeled.txt is not a text file in UTF-8"):
        read_split(folder)


def test_missing_list_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="no labeled.txt in .*python -m training split"):
        read_split(tmp_path)


def test_split_is_found_by_name(tmp_path):
    folder = lists(tmp_path / "splits" / "1_8", "a", "b")
    assert find_split(tmp_path, "1_8") == folder


def test_split_is_found_beside_a_manifest(tmp_path):
    folder = lists(tmp_path / "splits" / "1_8", "a", "b")
    (tmp_path / "manifest.json").write_text("{}")
    assert find_split(tmp_path / "manifest.json", "1_8") == folder


def test_unknown_split_lists_those_there_are(tmp_path):
    lists(tmp_path / "splits" / "1_8", "a", "b")
    with pytest.raises(FileNotFoundError, match=r"no split 'train_1_16' in .*splits; found 1_8. Make it with"):
        find_split(tmp_path, "train_1_16")


def test_split_name_cannot_leave_the_folder(tmp_path):
    with pytest.raises(ValueError, match=r"contains '\.\.'"):
        find_split(tmp_path, "../1_8")


@given(st.integers(1, 60), st.integers(0, 40), st.integers(0, 5), st.floats(0.01, 1), st.floats(0.01, 1))
@settings(deadline=None, max_examples=60)
def test_larger_fraction_contains_the_smaller(first, second, seed, one, other):
    sample_ids = frames("a", first) + frames("b", second)
    groups = [sequence_of(sample_id) for sample_id in sample_ids]
    small, large = (make_split(sample_ids, fraction, seed, groups) for fraction in sorted((one, other)))
    assert set(small.labeled) <= set(large.labeled)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.floats(0.01, 1))
@settings(deadline=None, max_examples=60)
def test_every_group_gives_its_share(first, second, seed, fraction):
    sample_ids = frames("a", first) + frames("b", second)
    split = make_split(sample_ids, fraction, seed, [sequence_of(sample_id) for sample_id in sample_ids])
    taken = sum(sample_id.startswith("a_") for sample_id in split.labeled)
    assert abs(taken - fraction * first) <= 1.5


def test_split_holds_every_sample_once():
    sample_ids = frames("a", 30)
    split = make_split(sample_ids, 1 / 8, 7)
    assert sorted(split.labeled + split.unlabeled) == sample_ids and len(split.labeled) == 4


def test_same_seed_gives_the_same_split_in_any_order_of_ids():
    sample_ids = frames("a", 30)
    assert make_split(sample_ids, 0.3, 5) == make_split(sample_ids[::-1], 0.3, 5)


def test_other_seed_gives_another_split():
    assert make_split(frames("a", 30), 0.3, 5) != make_split(frames("a", 30), 0.3, 6)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="labeled fraction must be above 0 and at most 1"):
        make_split(["a", "b"], fraction, 0)


@pytest.mark.parametrize(
    ("sample_ids", "groups", "message"),
    [([], None, "empty list"), (["a", "a"], None, "listed twice: a"), (["a", "b"], ["x"], "2 samples but 1 groups")],
    ids=["none", "twice", "groups"],
)
def test_ids_that_cannot_be_split_are_refused(sample_ids, groups, message):
    with pytest.raises(ValueError, match=message):
        make_split(sample_ids, 0.5, 0, groups)


@pytest.mark.parametrize(
    ("sample_id", "sequence"),
    [
        ("0001TP_006690", "0001TP_"),
        ("Seq05VD_f02610", "Seq05VD_f"),
        ("aachen/frame_12", "aachen/frame_"),
        ("aachen/door", "aachen"),
        ("door", "."),
    ],
)
def test_sequence_is_the_id_without_its_frame_number(sample_id, sequence):
    assert sequence_of(sample_id) == sequence


def neighbours(kept, held_out):
    """Pairs of one kept and one held-out frame whose numbers differ by one."""
    kept_frames = {(sequence_of(name), int(name.rsplit("_", 1)[1])) for name in kept}
    pairs = [(sequence_of(name), int(name.rsplit("_", 1)[1])) for name in held_out]
    return [pair for pair in pairs for step in (-1, 1) if (pair[0], pair[1] + step) in kept_frames]


@given(st.integers(8, 60), st.integers(8, 60), st.floats(0.05, 0.6), st.integers(0, 9), st.integers(1, 4))
@settings(deadline=None, max_examples=80)
def test_without_the_frames_beside_them_held_out_frames_have_no_neighbour(first, second, share, seed, every):
    all_frames = frames("a", first) + frames("b", second)
    _, held_out = hold_out_blocks(all_frames[::every], share, seed)
    rest = set(all_frames) - set(held_out) - set(beside(all_frames, set(held_out)))
    assert not neighbours(rest, held_out)


def test_frames_beside_are_direct_neighbours_of_the_same_sequence():
    all_frames = frames("a", 6) + frames("b", 3)
    assert beside(all_frames, {"a_00002", "b_00000"}) == ("a_00001", "a_00003", "b_00001")


def test_pictures_without_a_number_have_no_neighbors():
    assert beside(["dog", "lake", "moon", "moon_2"], {"lake", "moon_2"}) == ()


@pytest.mark.parametrize("seed", range(6))
def test_every_sequence_has_at_most_one_neighbouring_pair(seed):
    kept, held_out = hold_out_blocks(frames("a", 40) + frames("b", 20), 0.25, seed)
    assert len(neighbours(kept, held_out)) <= 2


def test_all_samples_are_kept_or_held_out():
    sample_ids = frames("a", 40) + frames("b", 20)
    kept, held_out = hold_out_blocks(sample_ids, 0.25, 3)
    assert sorted(kept + held_out) == sorted(sample_ids) and len(held_out) == 15


def test_held_out_frames_of_a_sequence_are_contiguous():
    _, held_out = hold_out_blocks(frames("a", 40), 0.25, 1)
    numbers = [int(name.rsplit("_", 1)[1]) for name in held_out]
    assert numbers == list(range(numbers[0], numbers[0] + 10))


def test_frames_are_ordered_by_number_not_by_digits():
    _, held_out = hold_out_blocks([f"frame_{number}" for number in range(1, 21)], 0.2, 0)
    numbers = sorted(int(name.rsplit("_", 1)[1]) for name in held_out)
    assert numbers in ([1, 2, 3, 4], [17, 18, 19, 20])


def test_seed_decides_which_end_is_held_out():
    assert len({hold_out_blocks(frames("a", 40), 0.25, seed)[1] for seed in range(8)}) == 2


@pytest.mark.parametrize("share", [0, 1, -0.5], ids=["none", "all", "negative"])
def test_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="share that is held out must be between 0 and 1"):
        hold_out_blocks(frames("a", 10), share, 0)


def test_holding_out_everything_is_refused():
    with pytest.raises(ValueError, match="would keep none"):
        hold_out_blocks(["a_1"], 0.5, 0)
