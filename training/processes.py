"""What several processes of one run agree on: numbers that all of them must divide by."""

import torch.distributed
from torch import Tensor


def mean_over_processes(count: Tensor) -> Tensor:
    """The mean of a number over all processes, float32 and without gradient; with one process the number itself.

    Gradients are averaged over processes. A loss that divides its sum by this mean is therefore, averaged, the loss of
    the joint batch: sum of sums / sum of counts. Dividing by each process's own count would weigh a crop that is mostly
    padding like a full one.

    Args:
        count: 0-dim, of any type.
    """
    value = count.detach().float()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        value = value.clone()
        torch.distributed.all_reduce(value)
        value = value / torch.distributed.get_world_size()
    return value
