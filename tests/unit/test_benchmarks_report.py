"""The statistics of the comparison on counts made by hand, and the sentences of its report."""

import numpy as np
import pytest

from benchmarks.matrix_cells import Cell
from benchmarks.matrix_results import read_results
from benchmarks.matrix_statistics import auroc, difference, draw, miou, miou_interval, risk_coverage
from benchmarks.report import REPORT_NAME, main, write_report
from tests.unit.matrix_cases import confusions, write_cell


def cells_in(folder, **accuracies):
    for method, accuracy in accuracies.items():
        write_cell(folder, Cell(method, "1_8", 0), accuracy)
    return folder


def report_of(folder):
    return write_report(folder).read_text(encoding="utf-8")


def test_miou_is_the_mean_over_classes():
    assert miou(np.array([[3, 1], [2, 4]])) == pytest.approx((3 / 6 + 4 / 7) / 2)


def test_miou_leaves_out_a_class_without_labeled_pixels_even_if_it_is_predicted():
    assert miou(np.array([[3, 1], [0, 0]])) == pytest.approx(3 / 4)


def test_identical_cells_differ_by_exactly_0():
    counts = confusions(0.7, seed=1)[None]
    interval = difference(counts, counts, draw(counts.shape[1], 1))
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_a_difference_is_paired_by_blocks():
    hard_and_easy = np.concatenate([confusions(0.4, seed=1, blocks=4), confusions(0.9, seed=2, blocks=4)])
    better = hard_and_easy.copy()
    for class_id in range(11):  # five more right pixels of every class in every block
        better[:, class_id, class_id] += 5
        better[:, class_id, (class_id + 1) % 11] -= 5
    draws = draw(8, 1)
    gap, alone = difference(better[None], hard_and_easy[None], draws), miou_interval(better[None], draws)
    assert gap.excludes_zero and gap.high - gap.low < (alone.high - alone.low) / 20


def test_fewer_blocks_give_a_wider_interval():
    def width(blocks):
        interval = miou_interval(confusions(0.6, seed=3, blocks=blocks)[None], draw(blocks, 1))
        return interval.high - interval.low

    assert width(6) > 1.5 * width(60)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # One labeled class, 100 pixels a block, of which a normally distributed share is right: mIoU is the mean share.
    rng, covered = np.random.default_rng(0), 0
    for trial in range(300):
        right = rng.normal(70, 8, size=20).round().astype(int)
        counts = np.zeros((1, 20, 2, 2), int)
        counts[0, :, 0, 0], counts[0, :, 0, 1] = right, 100 - right
        interval = miou_interval(counts, draw(20, 1, resamples=300, seed=trial))
        covered += interval.low <= 0.70 <= interval.high
    assert 0.88 <= covered / 300 <= 0.99


def test_seeds_that_disagree_widen_the_interval():
    same = np.stack([confusions(0.6, seed=1)] * 2)
    apart = np.stack([confusions(0.4, seed=1), confusions(0.8, seed=1)])
    draws = draw(8, 2)
    of_same, of_apart = miou_interval(same, draws), miou_interval(apart, draws)
    assert of_apart.high - of_apart.low > 2 * (of_same.high - of_same.low)


def test_the_same_seed_draws_the_same_resamples():
    np.testing.assert_array_equal(draw(5, 2).blocks, draw(5, 2).blocks)


def test_cells_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="cannot be paired"):
        difference(confusions(0.6, 1)[None], confusions(0.6, 1, blocks=3)[None], draw(8, 1))


def test_auroc_counts_ties_half():
    # Right and wrong per bin, unsure first. One wrong pixel lies below both right ones, one ties with the first.
    assert auroc(np.array([[0, 1], [1, 1], [1, 0]])) == pytest.approx((2 + 1.5) / 4)


def test_risk_starts_at_the_surest_bin():
    kept, risk = risk_coverage(np.array([[1, 3], [0, 0], [3, 1]]))
    assert kept.tolist() == [0.5, 1.0] and risk.tolist() == [0.25, 0.5]


def test_a_clear_difference_is_said_to_exclude_zero(tmp_path):
    text = report_of(cells_in(tmp_path, supervised=0.5, unimatch=0.7))
    assert "Better than Labels only, interval excludes zero: UniMatch 0.95." in text


def test_equal_methods_are_said_to_be_inside_the_noise(tmp_path):
    text = report_of(cells_in(tmp_path, unimatch=0.6, unimatch_csl=0.6))
    assert "Inside the noise against UniMatch 0.95, interval includes zero: UniMatch + CSL." in text


def test_one_seed_is_said_to_say_nothing_about_seeds(tmp_path):
    assert "says nothing about seeds" in report_of(cells_in(tmp_path, supervised=0.5, unimatch=0.7))


def test_several_seeds_are_listed_one_by_one(tmp_path):
    for seed in (0, 1):
        write_cell(tmp_path, Cell("supervised", "1_8", seed), 0.5)
        write_cell(tmp_path, Cell("unimatch", "1_8", seed), 0.5 + 0.1 * seed)
    text = report_of(tmp_path)
    assert "UniMatch 0.95 minus Labels only, seed by seed: +0.0, +" in text and "says nothing about seeds" not in text


def test_only_common_seeds_are_compared(tmp_path):
    write_cell(tmp_path, Cell("supervised", "1_8", 0), 0.5)
    write_cell(tmp_path, Cell("unimatch", "1_8", 1), 0.7)
    row = next(line for line in report_of(tmp_path).splitlines() if line.startswith("| UniMatch 0.95 | 1 |"))
    assert row.split(" | ")[3] == "-"


def test_missing_cells_are_named(tmp_path):
    text = report_of(cells_in(tmp_path, supervised=0.5, unimatch=0.7))
    assert "Missing: 6 of the preset's cells" in text and "unimatch_all-1_8-seed0" in text


def test_a_missing_baseline_is_said(tmp_path):
    assert "Labels only has not been run here" in report_of(cells_in(tmp_path, unimatch=0.7))


def test_different_devices_are_pointed_out(tmp_path):
    cells_in(tmp_path, supervised=0.5)
    environment = {"device": "A GPU", "precision": "bf16", "versions": {"torch": "2.15.0"}}
    write_cell(tmp_path, Cell("unimatch", "1_8", 0), 0.7, environment=environment)
    text = report_of(tmp_path)
    assert "Not all cells ran with the same device" in text and "across them in 1_8 seed 0." in text


def test_versions_that_differ_between_seeds_only_mix_no_comparison(tmp_path):
    cells_in(tmp_path, supervised=0.5, unimatch=0.7)
    environment = {"device": "cpu", "precision": "no", "versions": {"torch": "2.11.0"}}
    for method, accuracy in (("supervised", 0.5), ("unimatch", 0.6)):
        write_cell(tmp_path, Cell(method, "1_8", 1), accuracy, environment=environment)
    assert "every difference between methods is within one of them" in report_of(tmp_path)


def test_the_detector_is_judged_where_one_was_trained(tmp_path):
    write_cell(tmp_path, Cell("unimatch_howlader", "1_8", 0), 0.6, detector={"share_with_boxes": 0.25})
    assert "found a box on 25.0 to 25.0 % of the unlabeled images" in report_of(tmp_path)


def test_every_picture_of_the_report_exists(tmp_path):
    text = report_of(cells_in(tmp_path, supervised=0.5, unimatch=0.7))
    pictures = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(pictures) == 4 and all((tmp_path / name).stat().st_size > 1000 for name in pictures)


def test_cells_of_different_comparisons_are_not_mixed(tmp_path):
    cells_in(tmp_path, supervised=0.5)
    path = write_cell(tmp_path, Cell("unimatch", "1_8", 0), 0.7)
    path.write_text(path.read_text().replace('"steps": 120', '"steps": 99'), encoding="utf-8")
    with pytest.raises(ValueError, match="unimatch-1_8-seed0.json ran with other"):
        read_results(tmp_path)


def test_an_empty_folder_ends_with_code_2(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2 and "holds no results" in capsys.readouterr().err
    assert not (tmp_path / REPORT_NAME).exists()
