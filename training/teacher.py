"""The teacher's weights: an exponential moving average of the student's."""

import torch
from torch import nn


def decay_at(step: int, ema_decay: float) -> float:
    """Decay of update number `step` (0-based): min(1 - 1/(step + 1), ema_decay), so that the first one copies.

    Source: UniMatch V2 and U2PL, released code.
    """
    return min(1.0 - 1.0 / (step + 1), ema_decay)


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, step: int, ema_decay: float) -> None:
    """Move parameters and floating buffers (batch-norm statistics) of the teacher; counters are copied.

    Source: UniMatch V2, released code, averages parameters and buffers.
    """
    decay = decay_at(step, ema_decay)
    current = student.state_dict()
    for name, average in teacher.state_dict().items():
        if average.is_floating_point():
            average.lerp_(current[name], 1.0 - decay)
        else:
            average.copy_(current[name])
