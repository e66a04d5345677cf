"""Which device and precision a run uses, and the versions it ran with."""

import logging
import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from training.config import RunConfig

logger = logging.getLogger(__name__)

_REPORTED = (
    "accelerate", "numpy", "opencv-python-headless", "pixelsieve", "safetensors", "segmentation-models-pytorch",
    "timm", "torch", "torchmetrics", "torchvision",
)  # fmt: skip
_BF16_CPU_FLAGS = ("amx_bf16", "avx512_bf16")
"""CPUs without these emulate bf16, which is slower than float32."""


def resolve_device(wanted: str) -> torch.device:
    """The device for `run.device`.

    Raises:
        ValueError: cuda was asked for and torch sees none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("run.device: cuda was asked for, but torch sees no CUDA device; use auto or cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def resolve_precision(wanted: str, device: torch.device) -> str:
    """`run.precision` with auto replaced by bf16 where the device multiplies it in hardware, else by no.

    Raises:
        ValueError: fp16 on a CPU.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise ValueError("run.precision: fp16 needs a GPU; use auto, bf16 or no")
    if wanted == "bf16" and device.type == "cpu" and not _multiplies_bf16():
        logger.warning("run.precision: this CPU has no bf16 instructions and emulates them, many times slower than no")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if _multiplies_bf16() else "no"


def resolve_memory_format(wanted: str, device: torch.device, precision: str) -> torch.memory_format:
    """Channels last by default where tensor cores or AMX use it; see benchmarks/training_step.py."""
    pays = precision != "no" or device.type == "cuda"
    return torch.channels_last if wanted == "yes" or (wanted == "auto" and pays) else torch.contiguous_format


def _multiplies_bf16() -> bool:
    return any(flag in _cpu_flags() for flag in _BF16_CPU_FLAGS)


def _cpu_flags() -> frozenset[str]:
    path = Path("/proc/cpuinfo")  # Linux only; elsewhere auto stays in float32
    if not path.is_file():
        return frozenset()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def device_name(device: torch.device) -> str:
    """The GPU's name as its driver gives it, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def resident_peak() -> int:
    """Bytes of main memory that this process held at once at most; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe_environment(run: RunConfig, device: torch.device, precision: str, processes: int) -> dict[str, Any]:
    """Versions, device and threads; no path and no host name."""
    versions = {}
    for name in _REPORTED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device_name(device),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "loader_threads": run.loader_threads,
        "precision": precision,
        "processes": processes,
        "versions": versions,
    }
