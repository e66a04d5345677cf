"""Learning rates as functions of the step, and the optimizer they are set on."""

import torch
from torch import nn

from training.config import OptimizerConfig
from training.models import Student


def lr_factor(step: int, steps: int, poly_power: float, warmup_steps: int) -> float:
    """Factor on the base learning rate at step `step` (0-based): (1 - step/steps)^power, linear rise before.

    Source: poly policy, DeepLab (arXiv:1606.00915).
    """
    rise = min(1.0, (step + 1) / (warmup_steps + 1))
    return float(rise * (1.0 - step / steps) ** poly_power)


def build_optimizer(student: Student, config: OptimizerConfig) -> torch.optim.Optimizer:
    """SGD or AdamW with the encoder's and the head's weights at their own rates, decay on matrices and filters only.

    Frozen parameters (a backbone's freeze_encoder) are left out.
    """
    encoder = {id(parameter) for parameter in student.network.encoder.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in (each for each in student.parameters() if each.requires_grad):
        groups.setdefault((id(parameter) in encoder, parameter.ndim > 1), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if has_decay else 0.0,
            "base_lr": config.lr * (1.0 if in_encoder else config.head_lr_factor),
        }
        for (in_encoder, has_decay), parameters in groups.items()
    ]
    if config.name == "adamw":
        return torch.optim.AdamW(settings, lr=config.lr)
    return torch.optim.SGD(settings, lr=config.lr, momentum=config.momentum)


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to `factor` times its base."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
