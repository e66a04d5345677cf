"""No step waits for the device: on a GPU every wait leaves it idle until Python has caught up.

A CPU has nothing to wait for, so there the operators are refused that would wait on a GPU: those whose size of result,
or whose value, Python must know.
"""

import contextlib
import dataclasses

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from reliability.lookup import build_method, method_names
from tests.unit.training_cases import allowed_pairs, rendered_hosts, tiny_config, write_blocks
from training.config_json import apply_changes
from training.data import open_training_data
from training.detector.provide import needs_boxes
from training.lookup import host_names
from training.loop import train_step
from training.records import StepMeter
from training.session import build_recipe, build_session
from training.step_profile import with_stand_in_boxes

WAITING_OPERATORS = frozenset(
    f"aten::{name}"
    for name in (
        "_local_scalar_dense", "bincount", "equal", "is_nonzero", "masked_select", "nonzero", "nonzero_numpy",
        "unique_consecutive", "unique_dim", "_unique", "_unique2",
    )
)  # fmt: skip
INDEXING = frozenset(
    f"aten::{name}" for name in ("index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_")
)
COPYING = (torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist)


class RefusesOperators(TorchDispatchMode):
    """Fails at an operator that would wait on a GPU, also in a backward pass."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = operator._schema.name
        indices = args[1] if name in INDEXING else ()
        by_mask = any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices)
        sized_by_values = name == "aten::repeat_interleave" and (kwargs or {}).get("output_size") is None
        if name in WAITING_OPERATORS or by_mask or sized_by_values:
            raise AssertionError(f"{name} waits for the device")
        return operator(*args, **(kwargs or {}))


class RefusesCopies(TorchFunctionMode):
    """Fails where a tensor is made of Python values, which is a copy to the GPU that waits, or the other way."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in COPYING:
            raise AssertionError(f"{function.__name__} copies between Python and the device")
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def no_waiting():
    with RefusesCopies(), RefusesOperators():
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """SGD: on a CPU, AdamW reads its step counter, which on a GPU stays there."""
    config = tiny_config(write_blocks(tmp_path_factory.mktemp("blocks") / "data"))
    return apply_changes(config, ["optimizer.name=sgd", "loss.ohem=true", "loss.ohem_min_kept=100"])


def pairs():
    """Every method with one host, and every host with one method of each kind of `needs`.

    What a method does changes little with the host, and what a host does changes with the kind only.
    """
    kinds = {}
    for host, method in allowed_pairs():
        kinds.setdefault((host, build_method(method).needs), (host, method))
    return tuple(sorted({*kinds.values(), *(("unimatch", method) for method in method_names())}))


PAIRS = pairs()


def session_of(config, host, method, *changes):
    config = apply_changes(config, [f"host.name={host}", f"selection.name={method}", *changes])
    config = dataclasses.replace(config, host=dataclasses.replace(config.host, options={}))
    session = build_session(config, build_recipe(config), open_training_data(config.data), None)
    if needs_boxes(session):
        session.data = with_stand_in_boxes(session.data)
    return session


def test_every_host_and_every_method_is_stepped_with():
    assert {host for host, _ in PAIRS} == set(host_names()) and {method for _, method in PAIRS} == set(method_names())


@pytest.mark.parametrize(("host", "method"), PAIRS)
def test_no_step_on_a_cpu_uses_an_operator_that_waits_on_a_gpu(config, host, method):
    session, meter = session_of(config, host, method), StepMeter()
    loader, move = session.loader(), session.mover()
    for step in range(2):  # the second one has state
        batch = move(loader.batch(step))
        with no_waiting():
            meter.add(*train_step(session, batch))


@pytest.mark.parametrize("host", rendered_hosts())
def test_rendering_on_the_device_uses_no_operator_that_waits(config, host):
    session = session_of(config, host, "csl", "run.renderer=device")
    batch, render = session.loader().batch(0), session.mover()
    with no_waiting():
        assert render(batch).labeled.image.shape == (2, 3, 32, 32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("renderer", ["opencv", "auto"])
@pytest.mark.parametrize(("host", "method"), PAIRS)
def test_no_step_on_a_gpu_waits(config, host, method, renderer):
    gpu = ["run.device=cuda", "run.precision=auto", "optimizer.name=adamw", f"run.renderer={renderer}"]
    session = session_of(config, host, method, *gpu)
    meter, move = StepMeter(), session.mover()
    batches = session.loader().batches(0, 4, pinned=True)
    for _ in range(2):  # kernels are chosen and state is made
        meter.add(*train_step(session, move(next(batches))))
    try:
        torch.cuda.set_sync_debug_mode("error")
        for batch in batches:
            meter.add(*train_step(session, move(batch)))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "wait",
    [
        lambda plane: plane.sum().item(),
        lambda plane: bool(plane.any()),
        lambda plane: plane[plane > 0],
        lambda plane: plane.masked_select(plane > 0),
        lambda plane: plane.nonzero(),
        lambda plane: plane.long().bincount(),
        lambda plane: plane.cpu(),
        lambda plane: plane + torch.tensor([1.0, 2.0]),
        lambda plane: plane.repeat_interleave(plane.long()),
    ],
    ids=["item", "bool", "index by mask", "masked_select", "nonzero", "bincount", "cpu", "tensor", "repeat_interleave"],
)
def test_usual_suspects_are_caught(wait):
    plane = torch.tensor([1.0, 2.0])
    with pytest.raises(AssertionError, match=r"waits for the device|copies between"), no_waiting():
        wait(plane)


def test_waiting_in_a_backward_pass_is_caught():
    class Reads(torch.autograd.Function):
        @staticmethod
        def forward(_, value):
            return value * 1

        @staticmethod
        def backward(_, gradient):
            return gradient * gradient.sum().item()

    value = torch.ones(2, requires_grad=True)
    with pytest.raises(AssertionError, match="waits for the device"), no_waiting():
        Reads.apply(value).sum().backward()
