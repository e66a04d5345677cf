"""What several processes of one run agree on: who they are, when to stop, and what all of them divide by."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch.distributed
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn

LONGEST_WAIT = timedelta(hours=4)
"""How long the other processes wait while the first one trains a detector or writes. Our choice, not measured: longer
than a detector should take, where torch's own minutes would end the run; a lost process is noticed that much later."""


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
    # Newer releases of torch want another name for it, which the oldest supported one does not know.
    warnings.filterwarnings("ignore", message=".*broadcast_buffers.*", category=FutureWarning)
    return Accelerator(
        mixed_precision=precision,
        cpu=device.type == "cpu",
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=some_unused),
            InitProcessGroupKwargs(timeout=LONGEST_WAIT),
        ],
    )


@contextmanager
def in_full_precision(module: nn.Module) -> Iterator[None]:
    """Run a prepared module in float32, whatever a run trains in.

    accelerate puts mixed precision into the forward pass of the module itself. Measured that way, a run would report
    other numbers than `python -m training evaluate` finds for the same weights.
    """
    wrapped = module.__dict__.pop("forward", None)  # hides the class's own
    try:
        yield
    finally:
        if wrapped is not None:
            module.forward = wrapped


class ProcessLostError(Exception):
    """Another process of the run ended or cannot be reached."""


def is_first_process() -> bool:
    """Whether this is the process that writes and prints; launchers of several processes set RANK."""
    return process_number() == 0


def process_number() -> int:
    """This process's number in the run, 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """How many processes a launcher started for this run; launchers set WORLD_SIZE."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def have_met() -> bool:
    """Whether the processes of this run are connected; before that each one finds the same mistakes in the command."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def is_lost_contact(error: RuntimeError) -> bool:
    """Whether an error comes from waiting for a process that is gone: NCCL has a type for it, gloo only says so."""
    return have_met() and (isinstance(error, torch.distributed.DistError) or "gloo" in str(error))


def leave_processes() -> None:
    """Leave the run's other processes at the end; NCCL warns when a program just ends."""
    if have_met():
        torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class ProcessPart:
    """One process's part of a piece of work that all processes of a run do together.

    Attributes:
        number: of this process, from 0.
        count: how many there are.
    """

    number: int = 0
    count: int = 1

    def of(self, items: Sequence[int]) -> Sequence[int]:
        """Every n-th item, so that parts differ by one item at most."""
        return items[self.number :: self.count]

    def add_up(self, counts: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in place; integers add up exactly."""
        if self.count > 1:
            for tensor in counts:
                torch.distributed.all_reduce(tensor)


ALONE = ProcessPart()


class StopVote:
    """Tells every process whether any of them was asked to stop: one that stops alone leaves the others waiting.

    It goes from CPU to CPU beside the gradients, so that a GPU need not finish its step before the next one is queued.
    """

    def __init__(self) -> None:
        self._group: Any = torch.distributed.new_group(timeout=LONGEST_WAIT, backend="gloo") if have_met() else None

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
    if have_met():
        value = value.clone()
        torch.distributed.all_reduce(value)
        processes = torch.distributed.get_world_size()
    return value.clamp(min=at_least) / processes
