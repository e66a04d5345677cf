"""Which hardware ONNX Runtime really runs on: CUDA where it loads, else the CPU, without noise."""

import contextlib
import ctypes
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import onnxruntime

from export.model_metadata import first_line

Device = Literal["auto", "cpu", "cuda"]

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_CUDA_OPTIONS = {
    "use_tf32": "0",  # the default rounds inputs of convolutions to 10 bits, which moves labels away from the CPU's
    "cudnn_conv_algo_search": "HEURISTIC",  # the default measures every algorithm again for every new picture size
}
_QUIET = 4  # only fatal messages; 3 errors, 2 warnings (the default)
_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@dataclass(frozen=True)
class Runtime:
    """How sessions are made on one device.

    Attributes:
        device: "cuda" or "cpu".
        reason: why not CUDA, or an empty string.
        threads: of the CPU part of a session; None is ONNX Runtime's choice, one per core.
    """

    device: Literal["cpu", "cuda"]
    reason: str
    threads: int | None

    def session(self, content: bytes) -> onnxruntime.InferenceSession:
        """A session for the bytes of a model; ONNX Runtime's own errors pass through."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would take the cores
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        providers: list[Any] = [(_CUDA, _CUDA_OPTIONS)] if self.device == "cuda" else []
        with _quiet():
            return onnxruntime.InferenceSession(content, options, providers=[*providers, _CPU])


def choose_runtime(device: Device, threads: int | None, probe: bytes) -> Runtime:
    """Find out by loading a model, not by asking for what was compiled in.

    Args:
        device: "auto" takes CUDA when it loads, else the CPU.
        threads: at least 1, or None.
        probe: bytes of a small valid model.

    Raises:
        ValueError: unknown device, or threads below 1.
        RuntimeError: CUDA was asked for and does not load; says why.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}; choose one of auto, cpu, cuda")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    reason = "the CPU was asked for" if device == "cpu" else _why_not_cuda(probe)
    if device == "cuda" and reason:
        raise RuntimeError(f"CUDA was asked for, but {reason}. Run with device 'auto' or 'cpu' to use the CPU")
    return Runtime("cpu" if reason else "cuda", reason, threads)


def _why_not_cuda(probe: bytes) -> str:
    """Empty if CUDA works."""
    if _CUDA not in onnxruntime.get_available_providers():
        return "this build of ONNX Runtime has no CUDA (install onnxruntime-gpu)"
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return f"there is no NVIDIA driver ({_DRIVER} does not load)"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver finds no device"
    with _quiet(), contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        onnxruntime.preload_dlls()
    try:
        session = Runtime("cuda", "", None).session(probe)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        return f"ONNX Runtime could not start on it: {first_line(error)}"
    if _CUDA not in session.get_providers():
        return "CUDA libraries are missing (install onnxruntime-gpu[cuda,cudnn] in the version of the driver)"
    return ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime logs each provider that does not load in colour; the reason is given in our own words instead."""
    onnxruntime.set_default_logger_severity(_QUIET)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)
