"""bf16 and channels last reach every pass; what is compared and summed stays in float32."""

import pytest
import torch
from torch import nn

from tests.unit.training_cases import rendered_hosts, tiny_config, write_blocks
from training.config_json import apply_changes
from training.data import open_training_data
from training.lookup import host_names
from training.loop import train_step
from training.session import build_recipe, build_session


class Watch(nn.Module):
    """Notes layout and precision of what the first convolution of each pass makes.

    An image whose mixing lost its layout is brought back there: convolutions follow the layout of their weights.
    """

    def __init__(self, student):
        super().__init__()
        self.seen = []
        first = next(layer for layer in student.modules() if isinstance(layer, nn.Conv2d))
        first.register_forward_hook(self._note)

    def _note(self, layer, inputs, output):
        self.seen.append((output.is_contiguous(memory_format=torch.channels_last), output.dtype))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = tiny_config(write_blocks(tmp_path_factory.mktemp("blocks") / "data"))
    return apply_changes(config, ["run.precision=bf16", "run.channels_last=yes", "selection.name=fixed_threshold"])


def stepped(config, host, *changes):
    """Passes of student and teacher in one step, and the inputs of the selection."""
    config = apply_changes(config, [f"host.name={host}", *changes])
    session = build_session(config, build_recipe(config), open_training_data(config.data), None)
    watches = [Watch(model) for model in (session.bare_student, session.teacher) if model is not None]
    inputs = []
    session.selection.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    train_step(session, session.mover()(session.loader().batch(0)))
    return watches, inputs


@pytest.mark.parametrize(
    ("host", "renderer"),
    [*((host, "opencv") for host in host_names()), *((host, "device") for host in rendered_hosts())],
)
def test_every_pass_is_channels_last_in_bf16(config, host, renderer):
    watches, _ = stepped(config, host, f"run.renderer={renderer}")
    seen = [note for watch in watches for note in watch.seen]
    assert all(watch.seen for watch in watches) and set(seen) == {(True, torch.bfloat16)}


@pytest.mark.parametrize("host", [host for host in host_names() if host != "supervised"])
def test_selection_sees_float32_probabilities(config, host):
    _, inputs = stepped(config, host)
    assert inputs and all(given.probabilities.dtype == torch.float32 for given in inputs)
    assert all((given.probabilities.sum(dim=1) - 1).abs().max() < 1e-5 for given in inputs)  # bf16 would be 1e-2 off
