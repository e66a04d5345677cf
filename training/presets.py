"""Ready-made configurations. Each is a function; `python -m training fit --preset NAME` calls it."""

from collections.abc import Callable
from dataclasses import replace

from datasets.formats.scenes import LABELED_SPLIT
from training.config import (
    DataConfig,
    DetectorConfig,
    EvaluationConfig,
    HostConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    SelectionConfig,
    TrainConfig,
    ViewConfig,
)
from training.protocols import PROTOCOLS


def debug() -> TrainConfig:
    """Ends within a minute on a CPU, on generated scenes; shows that everything runs, not what it is worth."""
    return TrainConfig(
        data=DataConfig(format="scenes", labeled_split=LABELED_SPLIT),
        views=ViewConfig(crop_hw=(64, 64), scale_range=(0.75, 1.5)),
        host=HostConfig(name="csl"),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=0.01),
        run=RunConfig(steps=30, labeled_batch=4, unlabeled_batch=4, log_every=5, checkpoint_every=10),
        detector=DetectorConfig(steps=5, batch=2, min_size=128, max_size=192),  # finds nothing, but takes its part
    )


def demo() -> TrainConfig:
    """On generated scenes of 128 x 160 pixels: the round trip of `make demo`."""
    return replace(
        debug(),
        views=ViewConfig(crop_hw=(96, 128), scale_range=(0.75, 1.5)),
        host=HostConfig(name="csl", supervised_share=0.6),
        run=RunConfig(steps=200, labeled_batch=4, unlabeled_batch=4, checkpoint_every=40),
        detector=DetectorConfig(),
    )


def camvid_cpu() -> TrainConfig:
    """CamVid from scratch on a CPU: 22 CPU-minutes in the README's session, with 37 labels."""
    return TrainConfig(
        data=DataConfig(format="camvid", labeled_split="1_8"),
        views=ViewConfig(crop_hw=(192, 256), scale_range=(0.75, 1.5)),
        host=HostConfig(name="csl", supervised_share=0.75),  # a step of CSL takes three times as long
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=0.01, warmup_steps=20),
        run=RunConfig(steps=400, labeled_batch=8, unlabeled_batch=4, checkpoint_every=50),
    )


def camvid_gpu() -> TrainConfig:
    """CamVid on one GPU: DeepLabV3+ with ResNet-50, UniMatch's views. Not run yet: no time is known."""
    return TrainConfig(
        data=DataConfig(format="camvid", labeled_split="1_8"),
        model=ModelConfig(backbone="deeplabv3plus_resnet50"),
        views=ViewConfig(crop_hw=(320, 320)),
        host=HostConfig(name="csl"),
        selection=SelectionConfig(name="csl"),
        loss=LossConfig(),
        optimizer=OptimizerConfig(name="sgd", lr=0.005, head_lr_factor=10.0),
        run=RunConfig(steps=8000, loader_threads=8, log_every=50, checkpoint_every=500),
        evaluation=EvaluationConfig(every_steps=2000),
    )


def _short_round(config: TrainConfig, steps: int) -> TrainConfig:
    """A round that starts from the one before (--init-from) and trains on a workspace's manifest."""
    return replace(
        config,
        data=DataConfig(format="manifest", labeled_as_unlabeled=True),  # people may have labeled every pixel by then
        host=replace(config.host, supervised_share=0.0),
        optimizer=replace(config.optimizer, lr=config.optimizer.lr / 2),  # fine-tuning; ours
        run=replace(config.run, steps=steps),
    )


def demo_retrain() -> TrainConfig:
    """The demo's next round, from the weights of the one before."""
    return _short_round(demo(), steps=80)


def camvid_cpu_retrain() -> TrainConfig:
    """The next round of camvid_cpu."""
    return _short_round(camvid_cpu(), steps=100)


def camvid_gpu_retrain() -> TrainConfig:
    """The next round of camvid_gpu."""
    return _short_round(camvid_gpu(), steps=3000)


PRESETS: dict[str, Callable[[], TrainConfig]] = {
    preset.__name__: preset
    for preset in (debug, demo, camvid_cpu, camvid_gpu, demo_retrain, camvid_cpu_retrain, camvid_gpu_retrain)
}


def build_preset(name: str) -> TrainConfig:
    """The configuration of a preset or a published protocol, with its name written in.

    Raises:
        ValueError: unknown preset; lists the known ones.
    """
    known = {**PRESETS, **PROTOCOLS}
    if name not in known:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(known)}")
    return replace(known[name](), preset=name)
