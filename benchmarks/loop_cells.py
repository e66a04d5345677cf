"""What the loop of predicting, correcting and retraining consists of on CamVid: arms, presets, cells.

A cell is one arm on one labeled split with one simulated person and one seed. Arms differ in what is corrected, persons
in how, and both in nothing else: the first round is shared, and every round has the same steps and the same budget of
clicks and keys.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from app.services.simulating import Arm
from app.storage.settings import ReviewSettings

FORMAT_VERSION = 1
FULL = "full"
"""Full supervision: all training frames have their true labels from the first round on."""

ARMS = (Arm.QUEUE.value, Arm.RANDOM_IMAGES.value, Arm.RANDOM_REGIONS.value, FULL, Arm.ENTROPY_REGIONS.value)
"""In the order in which cells run: what the others are compared with comes first."""


@dataclass(frozen=True)
class Cell:
    """One loop."""

    split: str
    arm: str
    seed: int
    person: str | None
    """A name in `PEOPLE`; None for full supervision, which nobody corrects."""

    @property
    def name(self) -> str:
        """Of its folder and its result file."""
        return "-".join((self.arm, self.split, *([self.person] if self.person else []), f"seed{self.seed}"))

    @property
    def first_round(self) -> str:
        """Of the workspace after its first round, which all cells of a split and seed share; full has its own."""
        return f"{'start_full' if self.arm == FULL else 'start'}-{self.split}-seed{self.seed}"


@dataclass(frozen=True)
class Preset:
    """A size of the experiment.

    Attributes:
        first_preset, next_preset: of `python -m training`, for the first round and for those after it.
        overrides: config key -> value, for all rounds.
        first_steps, next_steps: optimizer steps of the first round and of each one after it.
        rounds: rounds of correcting and retraining after the first training.
        inputs_per_image: budget of a round, clicks and keys per image of the pool.
        splits, seeds, persons, arms: of the whole experiment.
        half_size: on a copy of CamVid with half the height and width.
        gold_share: of the labeled frames, in blocks.
    """

    first_preset: str
    next_preset: str
    overrides: dict[str, str]
    first_steps: int
    next_steps: int
    rounds: int
    inputs_per_image: float
    splits: tuple[str, ...] = ("1_16", "1_8")
    seeds: tuple[int, ...] = (0,)
    half_size: bool = False
    gold_share: float = 0.2
    persons: tuple[str, ...] = ("oracle", "superpixels")
    arms: tuple[str, ...] = field(default=ARMS)

    def cells(self, names: tuple[str, ...] = ()) -> tuple[Cell, ...]:
        """All cells in the order they run, or those that are asked for.

        Raises:
            ValueError: an unknown name.
        """
        every = [cell for seed in self.seeds for split in self.splits for cell in self._cells_of(split, seed)]
        unknown = sorted(set(names) - {cell.name for cell in every})
        if unknown:
            raise ValueError(f"unknown cell {unknown[0]!r}; choose from {', '.join(cell.name for cell in every)}")
        return tuple(cell for cell in every if not names or cell.name in names)

    def _cells_of(self, split: str, seed: int) -> list[Cell]:
        """Full supervision once, among those of the first person."""
        of_first, *of_others = (
            [Cell(split, arm, seed, None if arm == FULL else person) for arm in self.arms] for person in self.persons
        )
        return of_first + [cell for cells in of_others for cell in cells if cell.arm != FULL]

    def steps(self, number: int) -> int:
        """Of one round, the same in every arm."""
        return self.first_steps if number == 0 else self.next_steps


_WHOLE = frozenset({"arms", "splits", "seeds", "persons"})
"""What is said of the whole experiment, and of a cell by its name."""

_LABELS_ONLY = {"host.name": "supervised", "host.supervised_share": "0.0", "selection.name": "csl"}
"""Pseudo-labels come from the workspace alone, with their provenance and weight, so full supervision differs in labels
and in nothing else."""


def gpu() -> Preset:
    """DeepLabV3+ with ResNet-50 from scratch at full size; not run yet."""
    size = {
        "model.backbone": "deeplabv3plus_resnet50", "model.pretrained": "none", "views.crop_hw": "[320, 320]",
        "run.device": "cuda", "run.precision": "bf16", "run.loader_threads": "12",
    }  # fmt: skip
    return Preset(
        "camvid_cpu", "camvid_cpu_retrain", _LABELS_ONLY | size, first_steps=2000, next_steps=1000, rounds=4,
        inputs_per_image=5.0, seeds=(0, 1, 2),
    )  # fmt: skip


def cpu() -> Preset:
    """A small student from scratch on half-size frames: hours for one seed on two cores."""
    size = {"views.crop_hw": "[96, 128]", "run.device": "cpu", "run.labeled_batch": "8"}
    return Preset(
        "camvid_cpu", "camvid_cpu_retrain", _LABELS_ONLY | size, first_steps=600, next_steps=300, rounds=4,
        inputs_per_image=5.0, half_size=True,
    )  # fmt: skip


def cpu_proxy() -> Preset:
    """The same in 350 and 150 steps and two rounds: shows how, not how good."""
    whole = cpu()
    fewer = whole.overrides | {"run.labeled_batch": "4"}
    return dataclasses.replace(whole, overrides=fewer, first_steps=350, next_steps=150, rounds=2)


PRESETS = {preset.__name__: preset for preset in (cpu_proxy, cpu, gpu)}


def cell_config(preset: Preset, cell: Cell) -> dict[str, Any]:
    """Everything that decides what a cell does; without paths. Full supervision has no regions."""
    shared = {name: value for name, value in dataclasses.asdict(preset).items() if name not in _WHOLE}
    rules = (
        {} if cell.arm == FULL else ReviewSettings().model_dump(mode="json", include={"region_rules", "queue_rules"})
    )
    whole = {**shared, **rules, **dataclasses.asdict(cell), "format": FORMAT_VERSION}
    return json.loads(json.dumps(whole))  # type: ignore[no-any-return]


def config_hash(config: dict[str, Any]) -> str:
    """SHA-256 of a cell's configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
