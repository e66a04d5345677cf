"""What the tests of labels that may be wrong share: a look for them without a model."""

from types import SimpleNamespace

import numpy as np
import pytest

from app.services import suspects as suspects_module
from app.services.processes import Monitor
from app.services.suspects import find_suspects, keep_suspects
from app.storage.database import Store
from export.session import Prediction
from tests.unit.made_workspace import make_prediction


def says(monkeypatch: pytest.MonkeyPatch, prediction: Prediction | None = None) -> None:
    """Let the model say this about every picture; without one, what it says about the workspace's first image."""
    said = make_prediction(0) if prediction is None else prediction
    predictor = SimpleNamespace(predict=lambda picture: said)
    monkeypatch.setattr(suspects_module, "open_model", lambda store, workspace, model: predictor)


def look(store: Store, min_area: int = 20) -> int:
    """Look for wrong labels and keep what was found."""
    return keep_suspects(store, find_suspects(store, None, Monitor(), min_area))


def nothing_known(size_hw: tuple[int, int], num_classes: int) -> Prediction:
    """A model that calls everything its first class, and is sure."""
    sure = np.full(size_hw, 0.9, np.float32)
    probabilities = np.full((num_classes, *size_hw), 0.1 / (num_classes - 1), np.float32)
    probabilities[0] = sure
    return Prediction(
        np.zeros(size_hw, np.uint8), sure, sure, sure, np.ones_like(sure), np.ones(size_hw, np.bool_), probabilities
    )
