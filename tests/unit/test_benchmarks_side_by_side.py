import json
import platform
from pathlib import Path

import pytest

from benchmarks.side_by_side import Comparison, compare, write_result


def test_variants_run_in_turns_after_one_warm_up():
    calls: list[str] = []
    compare("order", {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2, baseline="a")
    assert "".join(calls) == "ab" + "ab" + "ba"


def test_the_ratio_compares_times_of_the_same_turn():
    comparison = Comparison("x", "plain", {"plain": [1.0, 10.0, 2.0], "ours": [0.5, 5.0, 9.0]})
    assert comparison.ratio("ours") == 0.5


def test_the_middle_half_of_the_ratios_says_what_their_median_is_worth():
    comparison = Comparison("x", "plain", {"plain": [1.0] * 5, "ours": [3.0, 1.0, 2.0, 9.0, 4.0]})
    assert comparison.ratio_quartiles("ours") == (2.0, 4.0)


def test_the_summary_is_in_milliseconds():
    comparison = Comparison("x", "plain", {"plain": [0.002, 0.001, 0.004]})
    assert comparison.summary("plain") == pytest.approx({"min_ms": 1.0, "median_ms": 2.0, "ratio": 1.0})


@pytest.mark.parametrize(
    ("name", "baseline", "repeats"),
    [("x", "b", 1), ("x", "a", 0), ("../x", "a", 1)],
    ids=["unknown baseline", "no turn", "not a file name"],
)
def test_a_comparison_that_makes_no_sense_is_refused(name, baseline, repeats):
    with pytest.raises(ValueError):
        compare(name, {"a": lambda: None}, repeats=repeats, baseline=baseline)


def test_the_result_file_names_the_machine_and_the_facts(tmp_path):
    comparison = compare("tiny", {"a": lambda: None}, repeats=1, baseline="a", facts={"pixels": 3})
    content = json.loads(write_result(comparison, tmp_path).read_text())
    assert content["facts"] == {"pixels": 3} and content["machine"]["cpu"] and content["machine"]["cores"] >= 1


def test_the_result_file_holds_no_path_and_no_host_name(tmp_path):
    text = write_result(compare("tiny", {"a": lambda: None}, repeats=1, baseline="a"), tmp_path).read_text()
    assert platform.node() not in text and str(tmp_path) not in text and str(Path.cwd()) not in text
