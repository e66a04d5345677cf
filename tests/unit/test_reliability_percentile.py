import numpy as np
import pytest
import torch

from reliability.percentile import lower_quantile


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.5, 0.999, 1.0])
def test_quantile_equals_numpy_over_the_usable_pixels(share):
    score = torch.rand(3, 200, generator=torch.Generator().manual_seed(0))
    usable = torch.rand(3, 200, generator=torch.Generator().manual_seed(1)) < 0.6
    expected = [np.quantile(row[mask].numpy(), share) for row, mask in zip(score, usable, strict=True)]
    np.testing.assert_allclose(lower_quantile(score, usable, share).numpy(), expected, rtol=0, atol=1e-6)


def test_an_image_without_usable_pixels_has_quantile_zero():
    assert lower_quantile(torch.rand(1, 5), torch.zeros(1, 5, dtype=torch.bool), 0.5).item() == 0


def test_a_single_usable_pixel_is_every_quantile():
    usable = torch.tensor([[False, True, False]])
    assert lower_quantile(torch.tensor([[0.1, 0.2, 0.3]]), usable, 0.9).item() == pytest.approx(0.2)


def test_nan_outside_the_usable_pixels_is_not_seen():
    score, usable = torch.tensor([[float("nan"), 0.4]]), torch.tensor([[False, True]])
    assert lower_quantile(score, usable, 0.5).item() == pytest.approx(0.4)
