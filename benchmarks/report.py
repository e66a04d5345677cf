"""Tables, pictures and plain sentences from the cells of a comparison.

    python -m benchmarks.report benchmarks/results/camvid_gpu

Writes report.md and PNG files into the folder. Nothing is trained or predicted: the counts in the JSON are enough.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.loop_report import is_loop, write_loop_report
from benchmarks.matrix_answers import NO_NUMBER, against, answers, common_seeds, draws_of, points, read_cost, signed
from benchmarks.matrix_cells import BASELINE, METHODS, PRESETS, REFERENCE
from benchmarks.matrix_plots import plot_classes, plot_miou, plot_pseudo_labels, plot_risk
from benchmarks.matrix_results import MethodResults, Results, read_results
from benchmarks.matrix_statistics import RESAMPLES, auroc_interval, miou_interval
from benchmarks.rules_report import is_rules, write_rules_report
from datasets.files import write_atomically

REPORT_NAME = "report.md"
PLOTTED_SCORES = ("confidence", "flip_confidence", "weight")


def write_report(folder: Path) -> Path:
    """Write report.md and the pictures; returns the report's path.

    Raises:
        ValueError: see `read_results`.
    """
    results = read_results(folder)
    lines = [*introduction(results), *answers(results, read_cost(folder))]
    for split in results.splits():
        methods = results.of_split(split)
        lines += [f"## Labeled split {split}", "", *quality_section(methods), *score_section(methods)]
        lines += [*class_section(methods), *pseudo_label_section(methods), *write_pictures(folder, split, methods)]
    path = folder / REPORT_NAME
    write_atomically(path, ("\n".join(lines).rstrip() + "\n").encode())
    return path


def introduction(results: Results) -> Iterator[str]:
    """What was run, on what, and what is missing."""
    cells = list(results.cells.values())
    first = cells[0]
    run, config = first["config"]["run"], first["config"]
    devices = sorted({_device(cell) for cell in cells})
    yield f"# Comparison on CamVid: `{results.preset}`"
    yield ""
    yield f"Made by `python -m benchmarks.report` from {len(cells)} finished cells, one JSON file each."
    yield ""
    yield (
        f"- Student `{config['model']['backbone']}`, "
        f"{'from scratch' if config['model']['pretrained'] == 'none' else 'pretrained encoder'}, "
        f"{run['steps']} optimizer steps for every method, the last checkpoint; the first "
        f"{first['labels_only_steps']} steps of the semi-supervised methods use labels only."
    )
    yield (
        f"- Crops of {' x '.join(map(str, config['views']['crop_hw']))}, {run['labeled_batch']} labeled and "
        f"{run['unlabeled_batch']} unlabeled images a step. Labels only draws {run['labeled_batch']} labeled images."
    )
    yield (
        f"- Tested on {first['test']['images']} frames of CamVid's test split"
        f"{' at half size' if PRESETS[results.preset]().half_size else ''}, whole images. "
        "The val clip is not used at all. Nothing was tuned on CamVid, for any method."
    )
    yield f"- Device: {'; '.join(devices)}."
    if len(devices) > 1:
        yield f"- **Not all cells ran with the same device, precision and torch.** {mixed_comparisons(results)}"
    yield (
        f"- Intervals: 95 %, paired block bootstrap, {RESAMPLES} resamples of "
        f"{len(first['blocks']['names'])} blocks of {first['block_frames']} consecutive frames, and of the seeds where "
        "there are several. With so few blocks they are too narrow: on made-up counts, 86 to 93 % of them held the "
        "true difference, and 37 % where seeds spread by 2 points and there is only one. Nothing corrects for the "
        "number of comparisons: one in twenty excludes zero by chance."
    )
    yield from detector_lines(cells)
    missing = results.missing()
    if missing:
        yield f"- **Missing: {len(missing)} of the preset's cells**: {', '.join(cell.name for cell in missing)}."
    yield ""


def mixed_comparisons(results: Results) -> str:
    """Whether differences between methods mix devices or versions."""
    kinds: dict[tuple[str, int], set[str]] = {}
    for cell, content in results.cells.items():
        kinds.setdefault((cell.split, cell.seed), set()).add(_device(content))
    mixed = [f"{split} seed {seed}" for (split, seed), found in sorted(kinds.items()) if len(found) > 1]
    if mixed:
        return f"Methods are compared across them in {', '.join(mixed)}."
    return "Cells of one split and seed did, so every difference between methods is within one of them."


def detector_lines(cells: list[dict[str, Any]]) -> Iterator[str]:
    """What the detectors of the methods that train one were worth, or that there is none."""
    if any('"trust": "confidence"' in json.dumps(cell["config"]["selection"]) for cell in cells):
        yield (
            "- Howlader without its detector: pseudo-labels entered the prototypes' memory by their confidence alone, "
            "because a detector from scratch needs more time than this preset has."
        )
    shares = [cell["detector"]["share_with_boxes"] for cell in cells if cell["detector"] is not None]
    if not shares:
        return
    settings = next(cell["config"]["detector"] for cell in cells if cell["detector"] is not None)
    yield (
        f"- Howlader's detector (`{settings['architecture']}`, weights {settings['weights']}, {settings['steps']} "
        f"steps, scores from {settings['min_score']:g}) found a box on {_percent(min(shares))} to "
        f"{_percent(max(shares))} % of the unlabeled images. Where that is close to 0, only labeled pixels fill the "
        "prototypes."
    )


def quality_section(methods: dict[str, MethodResults]) -> Iterator[str]:
    """mIoU with differences and memory, then what the differences mean."""
    yield "| method | seeds | mIoU | to labels only | to UniMatch 0.95 | peak memory |"
    yield "|---|---|---|---|---|---|"
    for name, method in methods.items():
        whole = miou_interval(method.confusion(method.seeds), draws_of(method, method.seeds))
        columns = [
            METHODS[name].title,
            ", ".join(map(str, method.seeds)),
            f"{_percent(whole.value)} [{_percent(whole.low)}, {_percent(whole.high)}]",
            *(signed(against(method, methods.get(other))) for other in (BASELINE, REFERENCE)),
            _memory(method),
        ]
        yield f"| {' | '.join(columns)} |"
    yield ""
    yield "mIoU and differences in percent and points, mean over seeds, 95 % interval in brackets."
    if len({method.seeds for method in methods.values()}) > 1:
        yield (
            "Not all methods have the same seeds: differences are over the seeds that both have, the column mIoU over "
            "all of a method's, so its rows cannot be compared with each other."
        )
    yield ""
    for other in (BASELINE, REFERENCE):
        yield from verdicts(methods, other)
    yield ""


def verdicts(methods: dict[str, MethodResults], other: str) -> Iterator[str]:
    """Sentences: which differences exclude zero, and how many seeds they stand on."""
    if other not in methods:
        yield f"- {METHODS[other].title} has not been run here, so nothing is said against it."
        return
    found = {name: interval for name, method in methods.items() if (interval := against(method, methods[other]))}
    clear = {name: interval for name, interval in found.items() if interval.excludes_zero}
    title = METHODS[other].title
    better = [METHODS[name].title for name, interval in clear.items() if interval.value > 0]
    worse = [METHODS[name].title for name, interval in clear.items() if interval.value < 0]
    inside = [METHODS[name].title for name in found if name not in clear]
    if better:
        yield f"- Better than {title}, interval excludes zero: {', '.join(better)}."
    if worse:
        yield f"- Worse than {title}, interval excludes zero: {', '.join(worse)}."
    if inside:
        yield f"- Inside the noise against {title}, interval includes zero: {', '.join(inside)}."
    if any(len(common_seeds(methods[name], methods[other])) == 1 for name in found):
        yield (
            f"- Where a comparison with {title} stands on one seed, its interval is about other test frames only. It "
            "says nothing about seeds: another draw of first weights and batches could turn the difference around."
        )
    for name in found:
        seeds = common_seeds(methods[name], methods[other])
        if len(seeds) > 1:
            gaps = [points(_gap(methods[name], methods[other], seed)) for seed in seeds]
            yield f"- {METHODS[name].title} minus {title}, seed by seed: {', '.join(gaps)} points."


def score_section(methods: dict[str, MethodResults]) -> Iterator[str]:
    """How well each score tells right from wrong pixels on the test frames."""
    yield "### How well scores find the errors"
    yield ""
    yield "| method | score | AUROC | AURC | FPR95 | errors found in the least sure 5 / 10 / 20 % |"
    yield "|---|---|---|---|---|---|"
    for name, method in methods.items():
        for score in next(iter(method.cells.values()))["test"]["reliability"]:
            interval = auroc_interval(method.score_counts(score, method.seeds), draws_of(method, method.seeds))
            found = [_percent(method.score(score, f"errors_found_{share}")) for share in ("05", "10", "20")]
            columns = [
                METHODS[name].title,
                score,
                f"{_decimal(method.score(score, 'auroc'))} [{_decimal(interval.low)}, {_decimal(interval.high)}]",
                _decimal(method.score(score, "aurc"), 4),
                _percent(method.score(score, "fpr_at_95_tpr")),
                " / ".join(found),
            ]
            yield f"| {' | '.join(columns)} |"
    yield ""
    yield (
        "AUROC: a random wrong pixel scores below a random right one. AURC: error rate averaged over all shares of "
        "surest pixels, low is good, and lower for a better student whatever its score. FPR95: errors that pass when "
        "95 % of the right pixels do. `weight` is that of the method's own selection after training; a selection whose "
        "rule relaxes over training (S4MC) keeps almost everything by then."
    )
    yield ""


def class_section(methods: dict[str, MethodResults]) -> Iterator[str]:
    """IoU per class, in percent."""
    names = list(next(iter(methods.values())).iou_per_class())
    yield "### IoU per class, %"
    yield ""
    yield f"| method | {' | '.join(names)} |"
    yield f"|{'---|' * (len(names) + 1)}"
    for name, method in methods.items():
        yield f"| {METHODS[name].title} | {' | '.join(_percent(value) for value in method.iou_per_class().values())} |"
    yield ""


def pseudo_label_section(methods: dict[str, MethodResults]) -> Iterator[str]:
    """The selected pseudo-labels at the end of training, on images whose labels were withheld."""
    yield "### Pseudo-labels at the last step"
    yield ""
    yield "| method | precision, % | coverage, % | mIoU of all pseudo-labels, % |"
    yield "|---|---|---|---|"
    for name, method in methods.items():
        columns = [_percent(method.mean(_last_pseudo(key))) for key in ("precision", "coverage", "miou")]
        yield f"| {METHODS[name].title} | {' | '.join(columns)} |"
    images = next(iter(methods.values())).mean(lambda cell: cell["config"]["evaluation"]["pseudo_images"])
    yield ""
    yield (
        f"On the same {images:.0f} unlabeled training images for all methods; their labels exist but are never learned "
        "from. Labels only is measured with the rule it would use."
    )
    yield ""


def write_pictures(folder: Path, split: str, methods: dict[str, MethodResults]) -> Iterator[str]:
    """Draw the split's pictures and show them in the report."""
    title = f"CamVid, labeled split {split}"
    first_seed = {name: method.seeds[0] for name, method in methods.items()}
    intervals = {
        METHODS[name].title: miou_interval(method.confusion(method.seeds), draws_of(method, method.seeds))
        for name, method in methods.items()
    }
    plot_miou(folder / f"miou_{split}.png", intervals, title)
    iou = {METHODS[name].title: [value or 0.0 for value in m.iou_per_class().values()] for name, m in methods.items()}
    class_names = list(next(iter(methods.values())).iou_per_class())
    plot_classes(folder / f"iou_per_class_{split}.png", iou, class_names, title)
    counts = {
        score: {METHODS[name].title: m.score_counts(score, m.seeds).sum(axis=(0, 1)) for name, m in methods.items()}
        for score in PLOTTED_SCORES
    }
    plot_risk(folder / f"risk_coverage_{split}.png", counts, title)
    series = {METHODS[name].title: m.cells[first_seed[name]]["pseudo_labels"] for name, m in methods.items()}
    plot_pseudo_labels(folder / f"pseudo_labels_{split}.png", series, f"{title}, lowest seed of each method")
    pictures = {
        "miou": "Test mIoU with intervals",
        "iou_per_class": "Test IoU per class",
        "risk_coverage": "Error rate among the surest pixels",
        "pseudo_labels": "Precision and coverage of pseudo-labels over the steps",
    }
    for name, what in pictures.items():
        yield f"![{what}, split {split}]({name}_{split}.png)"
    yield ""


def _gap(method: MethodResults, other: MethodResults, seed: int) -> float:
    return float(method.cells[seed]["test"]["miou"] - other.cells[seed]["test"]["miou"])


def _last_pseudo(key: str) -> Any:  # noqa: ANN401 - a function of a cell
    return lambda cell: cell["pseudo_labels"][-1][key] if cell["pseudo_labels"] else None


def _device(cell: dict[str, Any]) -> str:
    environment, machine = cell["environment"], cell["machine"]
    device = f"{machine['cpu']}, {machine['cores']} cores" if environment["device"] == "cpu" else environment["device"]
    return f"{device}, precision {environment['precision']}, torch {environment['versions']['torch']}"


def _memory(method: MethodResults) -> str:
    cells = list(method.cells.values())
    return f"{max(cell['peak_memory']['mib'] for cell in cells):.0f} MiB ({cells[0]['peak_memory']['kind']})"


def _percent(value: float | None) -> str:
    return NO_NUMBER if value is None else f"{100 * value:.1f}"


def _decimal(value: float | None, digits: int = 3) -> str:
    return NO_NUMBER if value is None else f"{value:.{digits}f}"


def main(arguments: list[str] | None = None) -> int:
    """Write the report of one folder; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="with the JSON files of benchmarks.camvid_matrix, benchmarks.camvid_loop or benchmarks.region_rules",
    )
    try:
        folder = parser.parse_args(arguments).folder
        kinds = ((is_rules, write_rules_report), (is_loop, write_loop_report))
        print(next((write for fits, write in kinds if fits(folder)), write_report)(folder))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
