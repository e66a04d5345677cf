"""Boxes on the device, and pixels gathered from other images."""

import pytest
import torch

from training.pasting import beta_draw, centered_boxes, filled_boxes, half_boxes, pasted


def test_a_box_holds_its_first_and_not_its_last_edge():
    edges = [torch.tensor([edge]) for edge in (1, 0, 3, 2)]
    assert filled_boxes(*edges, (4, 3))[0].int().tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_a_box_beyond_the_border_is_cut_off():
    edges = [torch.tensor([edge]) for edge in (-5, 2, 1, 99)]
    assert filled_boxes(*edges, (2, 3))[0].int().tolist() == [[0, 0, 1], [0, 0, 0]]


def sides(boxes):
    """Height and width of the box of each image."""
    return boxes.any(dim=2).sum(dim=1), boxes.any(dim=1).sum(dim=1)


def test_centered_boxes_have_the_share_asked_for_unless_the_border_cuts_them():
    torch.manual_seed(0)
    heights, widths = sides(centered_boxes(torch.tensor(0.25), 500, (64, 96)))
    assert (heights.max(), widths.max()) == (32, 48)


def test_a_share_of_0_is_an_empty_box():
    assert not centered_boxes(torch.tensor(0.0), 3, (16, 16)).any()


def test_centers_leave_out_the_first_eighth():
    torch.manual_seed(0)
    boxes = centered_boxes(torch.tensor(4 / 64**2), 2000, (64, 64))  # 2 px wide: from center - 1 to center + 1
    first = boxes.any(dim=2).int().argmax(dim=1)
    assert (first.min(), first.max()) == (64 // 8 - 1, 62)


def test_half_boxes_cover_half_of_the_area():
    torch.manual_seed(0)
    areas = half_boxes(200, (64, 96), torch.device("cpu")).float().mean(dim=(1, 2))
    assert (areas - 0.5).abs().max() < 0.02  # sides are rounded to pixels


def test_half_boxes_take_every_height_from_half_to_all():
    torch.manual_seed(0)
    heights, _ = sides(half_boxes(500, (64, 96), torch.device("cpu")))
    assert (heights.min(), heights.max()) == (32, 64)


@pytest.mark.parametrize(("a", "b"), [(8, 2), (4, 4)])
def test_beta_draws_have_the_mean_and_the_spread_of_the_distribution(a, b):
    torch.manual_seed(0)
    draws = torch.stack([beta_draw(a, b, torch.device("cpu")) for _ in range(4000)])
    spread = (a * b / ((a + b) ** 2 * (a + b + 1))) ** 0.5
    assert draws.mean().item() == pytest.approx(a / (a + b), abs=0.01)
    assert draws.std().item() == pytest.approx(spread, rel=0.05)


def test_each_pixel_comes_from_the_same_place_of_the_image_that_is_named():
    own, foreign = torch.arange(8).view(2, 2, 2), 100 + torch.arange(4).view(1, 2, 2)
    source = torch.tensor([[[0, 1], [2, 0]], [[1, 1], [1, 2]]])
    assert pasted(own, foreign, source).tolist() == [[[0, 5], [102, 3]], [[4, 5], [6, 103]]]


def test_all_channels_of_a_picture_move_together():
    own, foreign = torch.zeros(1, 3, 1, 2), torch.ones(1, 3, 1, 2)
    assert pasted(own, foreign, torch.tensor([[[0, 1]]]))[0, :, 0].tolist() == [[0, 1]] * 3
