"""Time variants of one piece of work side by side, so that a busy machine slows all of them alike.

    comparison = compare("region_building", {"ours": run_ours, "plain": run_plain}, repeats=20, baseline="plain")
    show(comparison)
    write_result(comparison, RESULTS_FOLDER)

The variants run in turns, A B A B, and a ratio is the median over the turns of the two times measured next to each
other. Milliseconds depend on the machine and on what else it does; only ratios are worth quoting, with the machine.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS_FOLDER = Path(__file__).parent / "results"
_PACKAGES = ("torch", "onnxruntime-gpu", "onnxruntime", "numpy", "scikit-image", "sqlalchemy")


@dataclass(frozen=True)
class Comparison:
    """Times of all variants from one run.

    Attributes:
        name: of the benchmark and of its result file.
        baseline: the variant that ratios refer to.
        seconds: variant -> time of each turn, in the order of the turns.
        facts: what else was found, for example sizes and the number of differing pixels; JSON values.
        machine: where and with what it ran; no host name and no paths.
    """

    name: str
    baseline: str
    seconds: dict[str, list[float]]
    facts: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    def ratio(self, variant: str) -> float:
        """Median over the turns of variant time / baseline time; below 1 is faster than the baseline."""
        return statistics.median(self._ratios(variant))

    def ratio_quartiles(self, variant: str) -> tuple[float, float]:
        """Between which values the middle half of the turns' ratios lies: how much the ratio is worth."""
        ratios = self._ratios(variant)
        if len(ratios) < 2:
            return ratios[0], ratios[0]
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return low, high

    def _ratios(self, variant: str) -> list[float]:
        pairs = zip(self.seconds[variant], self.seconds[self.baseline], strict=True)
        return [ours / base for ours, base in pairs]

    def summary(self, variant: str) -> dict[str, float]:
        """min_ms, median_ms and ratio of one variant."""
        times = [1000 * second for second in self.seconds[variant]]
        return {"min_ms": min(times), "median_ms": statistics.median(times), "ratio": self.ratio(variant)}


def compare(
    name: str,
    variants: dict[str, Callable[[], object]],
    *,
    repeats: int,
    baseline: str,
    facts: dict[str, Any] | None = None,
) -> Comparison:
    """Run every variant once to warm up, then `repeats` times in turns.

    The order within a turn is reversed every other turn, so that no variant always runs behind the same one. Work on
    an accelerator must wait for its end inside the variant.

    Args:
        name: letters, digits and underscores; becomes the file name.
        variants: label -> the work; its result is dropped.
        repeats: turns, at least 1.
        baseline: label of the variant that ratios refer to.
        facts: kept with the result.

    Raises:
        ValueError: unknown baseline, no repeats, or a name that is no file name.
    """
    if baseline not in variants:
        raise ValueError(f"baseline '{baseline}' is none of the variants {', '.join(variants)}")
    if repeats < 1 or not name.isidentifier():
        raise ValueError(f"benchmark '{name}' needs a name like region_building and at least 1 repeat, got {repeats}")
    for work in variants.values():
        work()
    seconds: dict[str, list[float]] = {label: [] for label in variants}
    for turn in range(repeats):
        for label in list(variants)[:: 1 if turn % 2 == 0 else -1]:
            start = time.perf_counter()
            variants[label]()
            seconds[label].append(round(time.perf_counter() - start, 7))
    return Comparison(name, baseline, seconds, dict(facts or {}), describe_machine())


def show(comparison: Comparison) -> None:
    """Print a table: one row per variant, then the facts."""
    table = Table(title=comparison.name, title_justify="left")
    table.add_column("variant")
    for heading in ("min ms", "median ms", f"ratio to {comparison.baseline}", "middle half"):
        table.add_column(heading, justify="right")
    for variant in comparison.seconds:
        row = comparison.summary(variant)
        low, high = comparison.ratio_quartiles(variant)
        times = f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}", f"{row['ratio']:.3f}"
        table.add_row(variant, *times, f"{low:.3f} - {high:.3f}")
    console = Console()
    console.print(table)
    for fact, value in comparison.facts.items():
        console.print(f"  {fact}: {value}", highlight=False)


def write_result(comparison: Comparison, folder: Path = RESULTS_FOLDER) -> Path:
    """Write <folder>/<name>.json and return its path; an older result of that name is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    content = asdict(comparison)
    content["summary"] = {variant: comparison.summary(variant) for variant in comparison.seconds}
    content["ratio_quartiles"] = {variant: comparison.ratio_quartiles(variant) for variant in comparison.seconds}
    path = folder / f"{comparison.name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def summary(times: Sequence[float]) -> dict[str, float]:
    """How many, median and 95th percentile, in milliseconds."""
    ordered = sorted(times)
    return {
        "count": len(ordered),
        "median_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 1),
    }


def describe_machine() -> dict[str, Any]:
    """Processor, cores, versions and date: what a quoted number must name."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {package: version for package in _PACKAGES if (version := _version(package)) is not None},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
