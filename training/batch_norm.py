"""What batch-norm layers measure when a batch is spread over several processes."""

import logging
from collections.abc import Callable

import torch
from accelerate import Accelerator
from timm.layers import norm_act
from torch import nn

logger = logging.getLogger(__name__)


def batch_norm_layers(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Every layer inside a module that keeps statistics of what it has seen, synchronized ones too."""
    return [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


def share_batch_statistics(student: nn.Module, accelerator: Accelerator) -> None:
    """Let batch-norm layers in train mode normalize over the images of all processes, in place.

    torch does that on GPUs only. On CPUs every process normalizes over its own images, and `average_statistics` keeps
    what evaluation uses the same everywhere. timm's conversion is used because its own layers hold an activation that
    torch's conversion would drop.
    """
    if accelerator.num_processes == 1 or not batch_norm_layers(student):
        return
    if accelerator.device.type == "cpu":
        logger.info("on CPUs batch normalization uses each process's own images; model.batch_norm=frozen avoids that")
        return
    convert: Callable[[nn.Module], nn.Module] = norm_act.convert_sync_batchnorm
    convert(student)


@torch.no_grad()
def average_statistics(module: nn.Module) -> None:
    """Replace the running means and variances of batch-norm layers by their mean over all processes.

    Variances are averaged as they are, without the spread of the processes' means: each is an estimate of the same
    variance, only from fewer images.
    """
    layers = [layer for layer in batch_norm_layers(module) if layer.running_mean is not None]
    statistics = [plane for layer in layers for plane in (layer.running_mean, layer.running_var) if plane is not None]
    if not statistics:
        return
    together = torch.cat([plane.flatten() for plane in statistics])
    torch.distributed.all_reduce(together)
    together /= torch.distributed.get_world_size()
    for plane, mean in zip(statistics, torch.split(together, [plane.numel() for plane in statistics]), strict=True):
        plane.copy_(mean.view_as(plane))
