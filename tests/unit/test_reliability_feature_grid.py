import pytest
import torch

from reliability.feature_grid import features_at, nearest_cells, upsampled


@pytest.mark.parametrize("size_hw", [(13, 17), (4, 5), (1, 1), (1, 9)], ids=str)
def test_reading_single_pixels_equals_upsampling_everything(size_hw):
    features = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    whole = upsampled(features, size_hw).permute(0, 2, 3, 1).reshape(-1, 3)
    every = torch.arange(2 * size_hw[0] * size_hw[1])
    torch.testing.assert_close(features_at(features, every, size_hw), whole, rtol=0, atol=1e-5)


def test_corner_pixels_belong_to_corner_cells():
    cells = nearest_cells((9, 13), (3, 4), torch.device("cpu"))
    assert (cells[0, 0], cells[0, -1], cells[-1, 0], cells[-1, -1]) == (0, 3, 8, 11)


def test_each_pixel_gets_the_cell_whose_center_is_nearest():
    # 5 cells over 9 pixels: one every 2 pixels, the pixel halfway goes to the next one.
    assert nearest_cells((1, 9), (1, 5), torch.device("cpu")).tolist() == [[0, 1, 1, 2, 2, 3, 3, 4, 4]]


def test_a_grid_as_large_as_the_picture_is_read_cell_by_cell():
    assert nearest_cells((2, 3), (2, 3), torch.device("cpu")).flatten().tolist() == [0, 1, 2, 3, 4, 5]
