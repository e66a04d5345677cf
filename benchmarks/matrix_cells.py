"""What the comparison on CamVid consists of: methods, presets, and the configuration of each cell.

A cell is one method on one labeled split with one seed. Everything but host and selection is the same in all cells of a
preset: student, views, optimizer, steps, initial labels-only share. Nothing was tuned per method or on CamVid.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets.files import sha256_of
from training.config import (
    DataConfig,
    EvaluationConfig,
    HostConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    SelectionConfig,
    TrainConfig,
    ViewConfig,
)
from training.config_json import apply_changes, config_from_json, config_to_json, differing_keys

BASELINE, REFERENCE = "supervised", "unimatch"
"""What every difference refers to: labels only, and UniMatch with its fixed threshold."""

_FIXED = ("fixed_threshold", {"threshold": 0.95})


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        title: as people know it.
        host, selection, options: names and options of the configuration.
        cost: time of a step as a multiple of a labels-only step; an assumption for the estimate of `--list`, replaced
            by measured times as soon as a cell is done.
        uses_detector: trains a detector on the labeled images first.
    """

    title: str
    host: str
    selection: str
    options: dict[str, Any] = field(default_factory=dict)
    cost: float = 1.0
    uses_detector: bool = False


_RANK = {"threshold": 0.95, "trust": "detector"}

METHODS: dict[str, Method] = {
    "supervised": Method("Labels only", "supervised", *_FIXED),
    "fixmatch": Method("FixMatch 0.95", "fixmatch", *_FIXED, cost=2.5),
    "unimatch": Method("UniMatch 0.95", "unimatch", *_FIXED, cost=5.0),
    "unimatch_csl": Method("UniMatch + CSL", "unimatch", "csl", cost=5.0),
    "unimatch_s4mc": Method("UniMatch + S4MC", "unimatch", "s4mc", cost=5.0),
    "unimatch_howlader": Method(
        "UniMatch + Howlader", "unimatch", "rank_statistics", _RANK, cost=5.5, uses_detector=True
    ),
    "unimatch_csl_s4mc": Method(
        "UniMatch + CSL + S4MC", "unimatch", "combined", {"parts": ["csl"], "refine": True}, cost=5.0
    ),
    "unimatch_all": Method(
        "UniMatch + all three",
        "unimatch",
        "combined",
        {"parts": ["csl", "rank_statistics"], "refine": True, "part_options": {"rank_statistics": _RANK}},
        cost=5.5,
        uses_detector=True,
    ),
}
"""In the order in which cells run: what the others are compared with comes first."""


@dataclass(frozen=True)
class Cell:
    """One run of the comparison."""

    method: str
    split: str
    seed: int

    @property
    def name(self) -> str:
        """Of its run folder and its result file."""
        return f"{self.method}-{self.split}-seed{self.seed}"


@dataclass(frozen=True)
class Preset:
    """A size of the comparison.

    Attributes:
        config: what all cells share.
        detector: changes as in `--set`, for cells whose method trains a detector. None: no detector is trained, and
            pseudo-labels enter Howlader's memory by their confidence alone. A detector from scratch needs more than
            a CPU has time for: 40 steps found no box on any of 321 images.
        splits, seeds: of the whole comparison.
        half_size: on a copy of CamVid with half the height and width.
        step_seconds: of a labels-only step; with `other_seconds` (start, measuring, testing) and `detector_seconds` an
            assumption for `--list`.
    """

    config: TrainConfig
    detector: tuple[str, ...] | None
    splits: tuple[str, ...]
    seeds: tuple[int, ...]
    half_size: bool
    step_seconds: float
    other_seconds: float
    detector_seconds: float

    def cells(
        self, methods: tuple[str, ...] = (), splits: tuple[str, ...] = (), seeds: tuple[int, ...] = ()
    ) -> tuple[Cell, ...]:
        """All cells in the order they run, or those that are asked for: seed by seed, so that one seed is whole first.

        Raises:
            ValueError: an unknown method.
        """
        unknown = [name for name in methods if name not in METHODS]
        if unknown:
            raise ValueError(f"unknown method {unknown[0]!r}; choose from {', '.join(METHODS)}")
        chosen = [name for name in METHODS if not methods or name in methods]
        return tuple(
            Cell(method, split, seed)
            for seed in seeds or self.seeds
            for split in splits or self.splits
            for method in chosen
        )

    def supervised_steps(self) -> int:
        """Steps that use labels only, in every semi-supervised cell."""
        return round(self.config.host.supervised_share * self.config.run.steps)

    def trains_detector(self, method: Method) -> bool:
        """Whether a cell of this method begins with a detector."""
        return self.detector is not None and method.uses_detector

    def estimated_seconds(self, cell: Cell) -> float:
        """From the assumptions above."""
        method = METHODS[cell.method]
        labels_only = self.supervised_steps()
        steps = labels_only + (self.config.run.steps - labels_only) * method.cost
        return self.step_seconds * steps + self.other_seconds + self.detector_seconds * self.trains_detector(method)


def gpu(pretrained: str = "none") -> Preset:
    """DeepLabV3+ with ResNet-50 at full size, bf16, 2000 steps; a few minutes per cell at an assumed 8 steps a second.

    From scratch AdamW as in the preset camvid_cpu; with ImageNet weights the SGD of camvid_gpu.
    """
    if pretrained == "none":
        optimizer = OptimizerConfig(name="adamw", lr=1e-3, weight_decay=0.01, warmup_steps=50)
    else:
        optimizer = OptimizerConfig(name="sgd", lr=0.005, head_lr_factor=10.0, warmup_steps=50)
    config = TrainConfig(
        preset="camvid_matrix_gpu",
        data=DataConfig(format="camvid"),
        model=ModelConfig(backbone="deeplabv3plus_resnet50", pretrained=pretrained),
        views=ViewConfig(crop_hw=(320, 320)),
        host=HostConfig(supervised_share=0.25),
        optimizer=optimizer,
        run=RunConfig(
            steps=2000, device="cuda", precision="bf16", loader_threads=12, log_every=50, checkpoint_every=500
        ),
        evaluation=EvaluationConfig(split="none", every_steps=250, pseudo_images=32),
    )
    # From scratch on a few dozen images; the released learning rate, 5e-5, is for weights that know objects already.
    detector = ("detector.steps=1000", "detector.batch=8", "detector.lr=2e-4")
    return Preset(
        config,
        detector=detector,
        splits=("1_8", "1_16"),
        seeds=(0, 1, 2),
        half_size=False,
        step_seconds=0.025,
        other_seconds=45,
        detector_seconds=60,
    )


def cpu(pretrained: str = "none") -> Preset:
    """A small student from scratch on half-size frames, 600 steps: about an hour for one seed on two cores."""
    config = TrainConfig(
        preset="camvid_matrix_cpu",
        data=DataConfig(format="camvid"),
        model=ModelConfig(backbone="fpn_resnet10t", pretrained=pretrained),
        views=ViewConfig(crop_hw=(96, 128), scale_range=(0.75, 1.5)),
        host=HostConfig(supervised_share=2 / 3),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=0.01, warmup_steps=20),
        run=RunConfig(
            steps=600, labeled_batch=4, unlabeled_batch=4, device="cpu", log_every=20, checkpoint_every=50
        ),
        evaluation=EvaluationConfig(split="none", every_steps=100, pseudo_images=16),
    )  # fmt: skip
    return Preset(
        config,
        detector=None,
        splits=("1_8",),
        seeds=(0,),
        half_size=True,
        step_seconds=0.25,
        other_seconds=60,
        detector_seconds=0,
    )


def cpu_proxy(pretrained: str = "none") -> Preset:
    """The same in 120 steps: runs anywhere in under 20 minutes, shows how, not how good."""
    base = cpu(pretrained)
    config = dataclasses.replace(
        base.config,
        preset="camvid_matrix_cpu_proxy",
        host=HostConfig(supervised_share=0.5),
        run=dataclasses.replace(base.config.run, steps=120, log_every=5, checkpoint_every=20),
        evaluation=dataclasses.replace(base.config.evaluation, every_steps=20, pseudo_images=8),
    )
    return dataclasses.replace(base, config=config, step_seconds=0.2, other_seconds=35)


PRESETS = {preset.__name__: preset for preset in (gpu, cpu, cpu_proxy)}


def cell_config(preset: Preset, cell: Cell, data_root: Path) -> TrainConfig:
    """The configuration of a cell's run.

    Raises:
        ValueError: the host or the selection method does not exist or refuses its options.
    """
    method = METHODS[cell.method]
    share = 0.0 if method.host == "supervised" else preset.config.host.supervised_share
    config = dataclasses.replace(
        preset.config,
        data=dataclasses.replace(preset.config.data, root=str(data_root), labeled_split=cell.split),
        host=HostConfig(name=method.host, supervised_share=share),
        selection=SelectionConfig(name=method.selection, options=selection_options(preset, method)),
        run=dataclasses.replace(preset.config.run, seed=cell.seed),
    )
    return apply_changes(config, (preset.detector or ()) if method.uses_detector else ())


def selection_options(preset: Preset, method: Method) -> dict[str, Any]:
    """A method's options, with another gate of Howlader's memory where the preset trains no detector."""
    options: dict[str, Any] = json.loads(json.dumps(method.options))
    if preset.detector is None and method.uses_detector:
        rank = options if method.selection == "rank_statistics" else options["part_options"]["rank_statistics"]
        rank["trust"] = "confidence"
    return options


def published_config(config: TrainConfig) -> dict[str, Any]:
    """A configuration without paths: a weight file is named by its hash, the data's folder is left out."""
    pretrained = config.model.pretrained
    if pretrained not in ("none", "imagenet"):
        pretrained = f"sha256:{sha256_of(Path(pretrained))}"
    return config_to_json(
        dataclasses.replace(
            config,
            data=dataclasses.replace(config.data, root=""),
            model=dataclasses.replace(config.model, pretrained=pretrained),
            classes={},
        )
    )


def config_hash(published: dict[str, Any]) -> str:
    """SHA-256 of a published configuration."""
    return hashlib.sha256(json.dumps(published, sort_keys=True).encode()).hexdigest()


def changed_keys(stored: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """What differs between the configuration of a finished cell and today's; a key that is new has its default.

    So a result stays valid when the program learns another option, and its hash need not be equal for that.
    """
    try:
        before = config_from_json(stored, "stored cell")
    except ValueError as error:
        return [str(error)]
    return differing_keys(before, config_from_json(published, "this cell"))
