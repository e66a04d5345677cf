"""The teacher's weights: an exponential moving average of the student's."""

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def decay_at(step: int, ema_decay: float) -> float:
    """Decay of update number `step` (0-based): min(1 - 1/(step + 1), ema_decay), so that the first one copies.

    Source: UniMatch V2 and U2PL, released code.
    """
    return min(1.0 - 1.0 / (step + 1), ema_decay)


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Move the teacher to `decay` times itself plus 1 - `decay` times the student.

    A teacher in eval mode normalizes with averaged statistics, so floating buffers move too and counters are copied
    (UniMatch V2, released code). One in train mode has its own from its own passes: only parameters move (U2PL), but
    for a decay of 0, where it becomes a copy and begins.
    """
    current = student.state_dict()
    keeps_statistics = teacher.training and decay > 0
    averaged = dict(teacher.named_parameters()) if keeps_statistics else teacher.state_dict()
    floating = [name for name, average in averaged.items() if average.is_floating_point()]
    # A few kernels instead of one for each of hundreds of tensors; the arithmetic is that of lerp_, to the last bit.
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    move([averaged[name] for name in floating], [current[name] for name in floating], None)
    for name in averaged.keys() - floating:
        averaged[name].copy_(current[name])
