"""IoU against numbers of the released evaluation (UniMatch V2 at f6afb4d). There a class that never occurs counts as 0;
here it has no IoU and is left out of the mean."""

from pathlib import Path

import numpy as np
import torch

from training.evaluation_counts import iou_from_confusion


def confusion_of(prediction: np.ndarray, label: np.ndarray, num_classes: int) -> np.ndarray:
    valid = label != 255
    pairs = label[valid].astype(np.int64) * num_classes + prediction[valid]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def test_iou_of_every_class_that_occurs_equals_the_released_code():
    with np.load(Path(__file__).parent / "vectors" / "miou.npz", allow_pickle=False) as data:
        confusion = confusion_of(data["prediction"], data["label"], data["num_classes"].item())
        iou, occurs, expected = iou_from_confusion(torch.from_numpy(confusion)).numpy(), data["union"] > 0, data["iou"]
    assert np.isnan(iou[~occurs]).all() and not occurs.all()
    np.testing.assert_allclose(iou[occurs], expected[occurs], rtol=0, atol=1e-9)
