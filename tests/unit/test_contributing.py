"""What CONTRIBUTING.md shows as a whole selection method is one, and the tests that it names exist."""

import re
import textwrap
from pathlib import Path

import pytest
import torch

from reliability.selection import SelectionInputs

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown():
    """The names that the example defines."""
    (block,) = re.findall(r'^      """Reliable is .*?(?=^  Its own test)', TEXT, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(textwrap.dedent(block), "CONTRIBUTING.md", "exec"), names)
    return names


def test_the_method_shown_selects_what_its_first_line_says(shown):
    probabilities = torch.tensor([[0.95, 0.05], [0.5, 0.5], [0.95, 0.05]]).T.reshape(1, 2, 1, 3)
    selection = shown["build"]()(SelectionInputs(probabilities, torch.tensor([[[True, True, False]]])))
    assert selection.reliable.tolist() == [[[True, False, False]]] and selection.weight.tolist() == [[[1.0, 0.0, 0.0]]]


def test_the_method_shown_refuses_a_wrong_option(shown):
    with pytest.raises(ValueError, match="option 'largest_ratio' must be a number of at least 0 and at most 1"):
        shown["build"](largest_ratio=2.0)


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(tests/[a-z0-9_/]+\.py)`", TEXT))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
