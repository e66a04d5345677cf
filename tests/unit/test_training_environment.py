"""Device, precision and layout for what was asked."""

from types import SimpleNamespace

import pytest
import torch

from training import environment
from training.config import RunConfig
from training.environment import describe_environment, resolve_device, resolve_memory_format, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("wanted", "flags", "expected"),
    [
        pytest.param("auto", {"avx2"}, "no", id="auto-without-bf16"),
        pytest.param("auto", {"avx2", "amx_bf16"}, "bf16", id="auto-with-amx"),
        pytest.param("auto", {"avx512_bf16"}, "bf16", id="auto-with-avx512"),
        pytest.param("bf16", {"avx2"}, "bf16", id="asked-for"),
        pytest.param("no", {"amx_bf16"}, "no", id="switched-off"),
    ],
)
def test_precision_on_a_cpu(monkeypatch, wanted, flags, expected):
    monkeypatch.setattr(environment, "_cpu_flags", lambda: frozenset(flags))
    assert resolve_precision(wanted, CPU) == expected


def test_emulated_bf16_is_warned_about(monkeypatch, caplog):
    monkeypatch.setattr(environment, "_cpu_flags", frozenset)
    resolve_precision("bf16", CPU)
    assert "emulates" in caplog.text


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(ValueError, match="fp16 needs a GPU; use auto, bf16 or no"):
        resolve_precision("fp16", CPU)


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch sees no CUDA device; use auto or cpu"):
        resolve_device("cuda")


def test_auto_takes_the_cpu_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU


@pytest.mark.parametrize(
    ("wanted", "precision", "expected"),
    [
        pytest.param("auto", "no", torch.contiguous_format, id="auto-float32-on-cpu"),
        pytest.param("auto", "bf16", torch.channels_last, id="auto-bf16"),
        pytest.param("yes", "no", torch.channels_last, id="asked-for"),
        pytest.param("no", "bf16", torch.contiguous_format, id="switched-off"),
    ],
)
def test_memory_format(wanted, precision, expected):
    assert resolve_memory_format(wanted, CPU, precision) == expected


def test_the_environment_names_versions_and_no_path():
    described = describe_environment(RunConfig(), CPU, "no", processes=1)
    assert described["versions"]["torch"] == torch.__version__.split("+")[0]
    assert not any("/" in str(value) for key, value in described.items() if key != "versions")


@pytest.mark.parametrize(("system", "expected"), [("linux", 2048), ("darwin", 2)])
def test_peak_memory_is_in_bytes_whatever_the_system_counts_in(monkeypatch, system, expected):
    monkeypatch.setattr(environment.sys, "platform", system)
    monkeypatch.setattr(environment.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=2))
    assert environment.resident_peak() == expected
