"""A semi-supervised training step and the labels-only step that it comes on top of.

python -m benchmarks.training_step [--repeats 5] [--channels-last]

Baseline is CSL's step with every pseudo-label trusted. Weights, batches and optimizer are the same in all variants. Run
it with and without --channels-last to see which layout pays. What each selection method adds is measured by
benchmarks/selection_cost.py: it is less than the difference between two runs of one step on a busy machine.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.side_by_side import RESULTS_FOLDER, Comparison, compare, show, write_result
from datasets.formats.camvid import CLASSES
from reliability.lookup import build_method
from reliability.selection import PixelSelection, SelectionInputs, SelectionMethod
from training.config import TrainConfig
from training.config_json import apply_changes
from training.data import SamplePool, TrainingData, TrainingSample
from training.lookup import build_host
from training.loop import train_step
from training.presets import build_preset
from training.session import Recipe, build_session

IMAGES = 16
SIZE_HW = (360, 480)  # CamVid's


class TrustAll(SelectionMethod):
    """Every pseudo-label at full weight: the step without a selection."""

    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        return PixelSelection(inputs.probabilities.argmax(dim=1), inputs.valid.float(), inputs.valid)


class NoisePool(SamplePool):
    """Labeled pictures of noise in memory: a step takes as long as on photographs."""

    def __init__(self) -> None:
        super().__init__((), cache_mb=0)
        rng = np.random.default_rng(0)
        self._samples = [
            TrainingSample(
                f"noise_{number}",
                rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8),
                rng.integers(0, len(CLASSES), SIZE_HW, dtype=np.uint8),
            )
            for number in range(IMAGES)
        ]

    def __len__(self) -> int:
        return len(self._samples)

    def sample_id(self, item: int) -> str:
        return self._samples[item].sample_id

    def read(self, item: int) -> TrainingSample:
        return self._samples[item]


def noise_data() -> TrainingData:
    """Noise as labeled and as unlabeled images."""
    items = tuple(range(IMAGES))
    return TrainingData(CLASSES, NoisePool(), items, (1.0,) * len(items), items, "")


def step_of(config: TrainConfig, selection: SelectionMethod) -> Callable[[], object]:
    """One optimizer step of a fresh session on a fixed batch."""
    recipe = Recipe(build_host(config.host.name, **config.host.options), selection)
    session = build_session(config, recipe, noise_data(), None)
    batch = session.mover()(session.loader().batch(0))

    def step() -> None:
        session.finished = 0  # the same place in the schedule every time
        train_step(session, batch)
        if session.accelerator.device.type == "cuda":
            torch.cuda.synchronize()

    return step


def run(repeats: int, channels_last: bool) -> Comparison:
    """Compare the steps at the crop size of the camvid_cpu preset."""
    layout = "run.channels_last=yes" if channels_last else "run.channels_last=no"
    batches = ["run.labeled_batch=4", "run.unlabeled_batch=4", "host.supervised_share=0"]
    config = apply_changes(build_preset("camvid_cpu"), ["host.name=csl", layout, *batches])
    labels_only = apply_changes(config, ["host.name=supervised"])
    variants = {
        "no_selection": step_of(config, TrustAll().eval()),
        "csl": step_of(config, build_method("csl")),
        "labels_only": step_of(labels_only, TrustAll().eval()),
    }
    facts = {
        "crop_hw": list(config.views.crop_hw),
        "labeled_batch": config.run.labeled_batch,
        "unlabeled_batch": config.run.unlabeled_batch,
        "backbone": config.model.backbone,
        "layout": layout,
        "threads": torch.get_num_threads(),
    }
    name = "training_step_channels_last" if channels_last else "training_step"
    return compare(name, variants, repeats=repeats, baseline="no_selection", facts=facts)


def main() -> None:
    """Run, print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--channels-last", action="store_true", help="images and weights as NHWC; default NCHW")
    options = parser.parse_args()
    comparison = run(options.repeats, options.channels_last)
    show(comparison)
    print(f"  written: {write_result(comparison, RESULTS_FOLDER).name}")


if __name__ == "__main__":
    main()
