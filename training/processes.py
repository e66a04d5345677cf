"""What several processes of one run agree on: who they are, when to stop, and what all of them divide by."""

from datetime import timedelta
from typing import Any

import torch.distributed
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor

LONGEST_WAIT = timedelta(hours=4)
"""How long the other processes wait while the first one evaluates."""


def fresh_accelerator(device: torch.device, precision: str, some_unused: bool) -> Accelerator:
    """An accelerator for one run; several processes meet here.

    accelerate keeps the first run's device and precision for the whole program and refuses others. A program that
    trains twice, in float32 and then in bf16, must therefore make it forget; the process group stays as it is.

    Args:
        device: where this run computes.
        precision: no, bf16 or fp16.
        some_unused: whether some parameters get no gradient in some steps; looking for them costs time.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        mixed_precision=precision,
        cpu=device.type == "cpu",
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=some_unused),
            InitProcessGroupKwargs(timeout=LONGEST_WAIT),
        ],
    )


class StopVote:
    """Tells every process whether any of them was asked to stop: one that stops alone leaves the others waiting.

    It goes from CPU to CPU beside the gradients, so that a GPU need not finish its step before the next one is queued.
    """

    def __init__(self) -> None:
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        self._group: Any = torch.distributed.new_group(timeout=LONGEST_WAIT, backend="gloo") if several else None

    def any(self, wish: bool) -> bool:
        """Whether at least one process wishes to stop; all processes must ask equally often."""
        if self._group is None:
            return wish
        wishes = torch.tensor(float(wish))
        torch.distributed.all_reduce(wishes, group=self._group)
        return bool(wishes > 0)


def mean_over_processes(count: Tensor, at_least: float = 0.0) -> Tensor:
    """The mean of a number over all processes, float32 and without gradient; with one process the number itself.

    Gradients are averaged over processes. A loss that divides its sum by this mean is therefore, averaged, the loss of
    the joint batch: sum of sums / sum of counts. Dividing by each process's own count would weigh a crop that is mostly
    padding like a full one.

    Args:
        count: 0-dim, of any type.
        at_least: smallest sum over all processes; 1 keeps a joint batch without any pixel from dividing 0 by 0.
    """
    value = count.detach().float()
    processes = 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        value = value.clone()
        torch.distributed.all_reduce(value)
        processes = torch.distributed.get_world_size()
    return value.clamp(min=at_least) / processes
