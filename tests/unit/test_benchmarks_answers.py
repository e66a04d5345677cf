"""The plain answers of the report, on counts that decide them, and steps timed in turns."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.matrix_answers import best_score, best_selection, gain, read_cost, step_cost
from benchmarks.matrix_cells import METHODS, Cell
from benchmarks.matrix_cost import own_step, step_config
from benchmarks.matrix_results import read_results
from benchmarks.matrix_statistics import auroc, auroc_difference, draw
from benchmarks.report import write_report
from tests.unit.matrix_cases import BLOCKS, tiny_preset, write_cell
from training.evaluation_counts import SCORE_EDGES

BINS = len(SCORE_EDGES) + 1


def score_counts(sure_right: int, unsure_right: int = 100) -> list[list[list[int]]]:
    """(B, bins, 2): 300 unsure and 60 sure errors a block, and right pixels in the same two bins."""
    counts = np.zeros((BLOCKS, BINS, 2), int)
    counts[:, 10], counts[:, -10] = [unsure_right, 300], [sure_right, 60]
    counts[:, -10, 0] += np.arange(BLOCKS)  # blocks are not all alike
    return counts.tolist()


def cell_with(folder: Path, method: str, seed: int = 0, accuracy: float = 0.6, **scores: list[list[list[int]]]) -> None:
    """A finished cell some of whose scores have other counts."""
    path = write_cell(folder, Cell(method, "1_8", seed), accuracy)
    content = json.loads(path.read_text())
    for name, counts in scores.items():
        content["blocks"]["scores"][name] = counts
        content["test"]["reliability"][name] = {
            **content["test"]["reliability"][name], "auroc": float(auroc(np.array(counts).sum(axis=0)))
        }  # fmt: skip
    path.write_text(json.dumps(content))


def methods_in(folder: Path):
    return read_results(folder).of_split("1_8")


@pytest.mark.parametrize(("seeds", "word"), [((0,), "**Yes on one seed**, which"), ((0, 1), "**Yes** for")])
def test_a_gain_that_excludes_zero_is_a_yes_with_its_seeds(tmp_path, seeds, word):
    for seed in seeds:
        cell_with(tmp_path, "supervised", seed, accuracy=0.5)
        cell_with(tmp_path, "unimatch", seed, accuracy=0.7)
    said = gain(methods_in(tmp_path))
    assert said.startswith(word) and "for 1 of 1 methods: UniMatch 0.95 +" in said and "Below" not in said


def test_no_gain_is_said_to_be_not_shown_with_the_largest_difference(tmp_path):
    cell_with(tmp_path, "supervised", accuracy=0.6)
    cell_with(tmp_path, "unimatch", accuracy=0.6)
    cell_with(tmp_path, "fixmatch", accuracy=0.4)
    said = gain(methods_in(tmp_path))
    assert "**Not shown**: none of 2 methods" in said and "Largest difference: UniMatch 0.95 +0.0" in said
    assert "Below it, interval excludes zero: FixMatch 0.95 -" in said


def test_without_labels_only_nothing_is_said_about_a_gain(tmp_path):
    cell_with(tmp_path, "unimatch")
    assert "**Not answered**" in gain(methods_in(tmp_path))


def test_the_best_score_is_named_with_how_sure_it_is(tmp_path):
    better, plain = score_counts(sure_right=900, unsure_right=10), score_counts(sure_right=800)
    cell_with(tmp_path, "supervised", margin=better, confidence=plain)
    said = best_score(methods_in(tmp_path))
    assert said.startswith("**margin**") and f"margin {auroc(np.array(better).sum(axis=0)):.3f} (above" in said


def test_the_best_selection_is_ranked_on_seeds_that_all_have(tmp_path):
    weak, middle, strong = (score_counts(sure_right=800, unsure_right=right) for right in (400, 200, 100))
    cell_with(tmp_path, "unimatch_csl", weight=middle)
    cell_with(tmp_path, "unimatch_csl", seed=1, weight=strong)  # alone on this seed, so it does not count
    cell_with(tmp_path, "unimatch_s4mc", weight=score_counts(sure_right=800, unsure_right=150))
    cell_with(tmp_path, "unimatch", weight=weak)
    said = best_selection(methods_in(tmp_path))
    assert "**UniMatch + S4MC**" in said and "before UniMatch + CSL" in said and "seeds 0." in said
    assert "(difference +0." in said


def test_a_difference_in_auroc_is_paired_by_blocks():
    counts = np.array(score_counts(sure_right=800))[None]
    same = auroc_difference(counts, counts, draw(BLOCKS, 1))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    better = auroc_difference(np.array(score_counts(800, 50))[None], counts, draw(BLOCKS, 1))
    assert better.low > 0 and better.value == pytest.approx(
        float(auroc(np.array(score_counts(800, 50)).sum(axis=0)) - auroc(counts[0].sum(axis=0)))
    )


def written_cost(folder: Path) -> None:
    content = {
        "seconds": {"supervised": [0.1, 0.1], "unimatch": [0.3, 0.34]},
        "summary": {"supervised": {"ratio": 1.0}, "unimatch": {"ratio": 3.2}},
        "ratio_quartiles": {"supervised": [1.0, 1.0], "unimatch": [3.1, 3.3]},
        "facts": {"device": "cpu", "precision": "no"},
    }
    (folder / "step_cost.json").write_text(json.dumps(content))


def test_the_cost_of_a_step_comes_from_steps_in_turns(tmp_path):
    written_cost(tmp_path)
    assert "2 turns on cpu (no): UniMatch 0.95 3.20 [3.10, 3.30]" in step_cost(read_cost(tmp_path))


def test_without_steps_in_turns_no_cost_is_claimed(tmp_path):
    cell_with(tmp_path, "supervised")
    assert "**Not measured.**" in write_report(tmp_path).read_text()


def test_a_damaged_cost_file_is_named(tmp_path):
    (tmp_path / "step_cost.json").write_text("{}")
    with pytest.raises(ValueError, match=r"step_cost\.json is not a result of benchmarks\.matrix_cost"):
        read_cost(tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_timed_in_its_own_step(method):
    config = step_config(tiny_preset(), method)
    step, facts = own_step(config)
    step()
    assert config.host.supervised_share == 0 and facts == {"device": "cpu", "precision": "no"}
