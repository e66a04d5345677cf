"""Pictures of a calibration: are stated probabilities true, and what does a threshold cost?"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reliability.calibration_quality import CalibrationQuality
from reliability.risk_control import THRESHOLDS
from training.calibration import UNIT_WORDS, Calibration, percent

RELIABILITY_PLOT = "calibration_reliability.png"
RISK_PLOT = "calibration_risk.png"


def write_calibration_plots(run_dir: Path, calibration: Calibration) -> None:
    """Draw both pictures into plots/."""
    folder = run_dir / "plots"
    folder.mkdir(exist_ok=True)
    for name, draw in ((RELIABILITY_PLOT, _draw_reliability), (RISK_PLOT, _draw_risk)):
        figure = Figure(figsize=(7, 5), dpi=120, layout="constrained")
        draw(figure.subplots(), calibration)
        figure.savefig(folder / name)


def _draw_reliability(axes: Axes, calibration: Calibration) -> None:
    """Stated against observed share of wrong pixels, both logarithmic: locking happens near zero."""
    axes.plot((1e-4, 1), (1e-4, 1), color="gray", linewidth=1, label="perfect")
    for name, quality, marker in (("1 - score", calibration.before, "o"), ("calibrated", calibration.after, "s")):
        axes.plot(*_points(quality), marker=marker, label=f"{name}: ECE {quality.ece:.4f}, Brier {quality.brier:.4f}")
    axes.set(xscale="log", yscale="log", xlim=(1e-4, 1), ylim=(1e-4, 1))
    axes.set_xlabel("stated probability of being wrong")
    held_out = "not fitted on" if calibration.is_set_apart else "also fitted on"
    axes.set_ylabel(f"observed share of wrong pixels, {calibration.threshold_images} images ({held_out})")
    axes.legend()
    axes.grid(alpha=0.3)


def _points(quality: CalibrationQuality) -> tuple[list[float], list[float]]:
    points = [(max(stated, 1e-4), max(observed, 1e-4)) for stated, observed, _ in quality.diagram]
    return [point[0] for point in points], [point[1] for point in points]


def _draw_risk(axes: Axes, calibration: Calibration) -> None:
    """Error among reliable pixels and what can be promised, over the share called reliable."""
    request, pixels = calibration.request, calibration.pixels
    coverage, covers = 100 * pixels.coverage(), pixels.reliable.sum(dim=0) > 0
    axes.plot(coverage[covers], 100 * pixels.error_rate()[covers], label="measured: wrong among the reliable pixels")
    for unit, threshold in calibration.by_unit.items():
        label = f"can be promised, {threshold.units} {UNIT_WORDS[unit]}"
        style = "-" if unit == calibration.unit else ":"
        axes.plot(coverage[covers], 100 * threshold.bounds[covers], linestyle=style, label=label)
    axes.axhline(
        100 * request.alpha, color="black", linestyle="--", linewidth=1, label=f"asked {percent(request.alpha)}"
    )
    if calibration.threshold.index >= 0:
        stated = float(THRESHOLDS[calibration.threshold.index])
        axes.axvline(100 * calibration.coverage, color="gray", linewidth=1, label=f"chosen: wrong at most {stated:.3g}")
    axes.set_xlabel("share of the pixels called reliable, percent")
    axes.set_ylabel("percent")
    axes.set_yscale("log")
    axes.set_xlim(0, 100)
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
