"""How many steps a run has: given as steps, or as passes over the unlabeled images as the papers count."""

import math
from dataclasses import replace

from training.batches.sampler import pass_length
from training.config import TrainConfig
from training.data import TrainingData
from training.lookup import build_host


def epoch_steps(config: TrainConfig, data: TrainingData, uses_unlabeled: bool, num_processes: int) -> int:
    """Steps of one pass over the unlabeled images, or over the labeled ones for a host that uses no others.

    An image of which people decided a tenth counts as a tenth of a labeled one, as it is drawn. The last batch of a
    pass is filled up from the next one, so a pass is rounded up.
    """
    run = config.run
    images, batch = (
        (len(data.unlabeled), run.unlabeled_batch)
        if uses_unlabeled
        else (pass_length(data.labeled_shares), run.labeled_batch)
    )
    return max(1, math.ceil(images / (batch * num_processes)))


def with_steps(config: TrainConfig, data: TrainingData, num_processes: int) -> TrainConfig:
    """The configuration with `run.steps` worked out if `run.epochs` asks for passes; otherwise the same."""
    if config.run.epochs == 0:
        return config
    uses_unlabeled = build_host(config.host.name, **config.host.options).uses_unlabeled
    steps = config.run.epochs * epoch_steps(config, data, uses_unlabeled, num_processes)
    return replace(config, run=replace(config.run, steps=steps))
