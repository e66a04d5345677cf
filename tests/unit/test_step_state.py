"""State of hosts in whole runs: what U2PL and AEL remember reaches the checkpoint."""

import pytest

from tests.unit.training_cases import tiny_config, write_blocks
from training.checkpoint import load_checkpoint
from training.loop import FitOptions, fit


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_blocks(tmp_path_factory.mktemp("blocks"))


@pytest.mark.parametrize(
    ("host", "options", "state", "untouched"),
    [
        pytest.param("u2pl", {"low_rank": 1, "projection_channels": 8}, "negatives.count", 0, id="u2pl"),
        pytest.param("ael", {}, "bank.confidence", 1 / 3, id="ael"),
    ],
)
def test_a_run_saves_what_its_host_learned(root, tmp_path, host, options, state, untouched):
    fit(tiny_config(root, host, steps=2, **options), FitOptions(tmp_path, quiet=True))
    assert (load_checkpoint(tmp_path).tensors["host"][state] != untouched).any()
