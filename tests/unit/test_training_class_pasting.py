"""AEL's adaptive copy-paste and CutMix: which classes, whose pixels, and where."""

import pytest
import torch

from datasets.labels import IGNORE_INDEX
from training.class_pasting import (
    CELL,
    CopyPaste,
    boxes_around,
    boxes_around_classes,
    drawn_classes,
    resizing_grid,
    with_pasted_classes,
)
from training.step import LabeledBatch

ALWAYS = CopyPaste(classes=1, probability=1.0, scale_range=(1.0, 1.0))
UNSURE_OF_2 = torch.tensor([1.0, 1.0, 0.0])
ONLY_2 = torch.tensor([False, False, True])
ANY = torch.ones(3, dtype=torch.bool)


def test_classes_are_drawn_with_their_probability():
    torch.manual_seed(0)
    share = torch.bincount(drawn_classes(torch.tensor([0.2, 0.0, 0.8]), 20_000), minlength=3) / 20_000
    assert share[1] == 0 and share[0].item() == pytest.approx(0.2, abs=0.02)


def two_crops(size=16):
    """Crop 0 is class 0 with image 0, crop 1 is class 2 with image 1 and weight 0.5 in its upper half, else class 1."""
    label = torch.zeros(2, size, size, dtype=torch.int64)
    label[1, : size // 2], label[1, size // 2 :] = 2, 1
    image = torch.zeros(2, 3, size, size)
    image[1] = 1.0
    weight = torch.ones(2, size, size)
    weight[1] = 0.5
    return LabeledBatch(image, label, weight)


def test_pixels_of_the_drawn_class_are_pasted_with_label_and_weight():
    pasted = with_pasted_classes(two_crops(), UNSURE_OF_2, ONLY_2, ALWAYS)
    upper = torch.zeros(16, 16, dtype=torch.bool)
    upper[:8] = True
    assert torch.equal(pasted.label[0], torch.where(upper, 2, 0))
    assert torch.equal(pasted.image[0, 0], upper.float())
    assert torch.equal(pasted.weight[0], torch.where(upper, 0.5, 1.0))


def test_a_crop_whose_partner_lacks_the_class_stays():
    x = two_crops()
    pasted = with_pasted_classes(x, UNSURE_OF_2, ONLY_2, ALWAYS)
    assert torch.equal(pasted.label[1], x.label[1]) and torch.equal(pasted.image[1], x.image[1])


def test_the_given_batch_is_not_changed():
    x, fresh = two_crops(), two_crops()
    with_pasted_classes(x, UNSURE_OF_2, ONLY_2, ALWAYS)
    assert all(torch.equal(vars(x)[name], vars(fresh)[name]) for name in vars(x))


@pytest.mark.parametrize("reason", ["void", "unreviewed"])
def test_pixels_without_a_label_are_not_pasted(reason):
    x = two_crops()
    if reason == "void":
        x.label[1] = IGNORE_INDEX
    else:
        x.weight[1] = 0.0
    pasted = with_pasted_classes(x, UNSURE_OF_2, ANY, CopyPaste(classes=9, probability=1.0, scale_range=(1.0, 1.0)))
    assert torch.equal(pasted.image[0], x.image[0]) and torch.equal(pasted.label[0], x.label[0])


def test_the_less_sure_class_is_pasted_more_often():
    torch.manual_seed(0)
    x, confidence, hits = two_crops(4), torch.tensor([1.0, 0.75, 0.0]), torch.zeros(3)
    for _ in range(1500):
        pasted = with_pasted_classes(x, confidence, torch.tensor([False, True, True]), ALWAYS).label[0]
        hits += torch.tensor([0.0, (pasted == 1).any().float(), (pasted == 2).any().float()])
    expected = torch.tensor([0.5, 1.0]).softmax(dim=0)  # sqrt(1 - confidence)
    torch.testing.assert_close(hits[1:] / hits.sum(), expected, atol=0.04, rtol=0)


def test_half_of_the_crops_receive_pixels():
    torch.manual_seed(0)
    x = two_crops(4)
    rule = CopyPaste(classes=1, probability=0.5, scale_range=(1.0, 1.0))
    changed = sum((with_pasted_classes(x, UNSURE_OF_2, ONLY_2, rule).label[0] == 2).any().item() for _ in range(600))
    assert 250 < changed < 350


@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_a_smaller_copy_lies_inside_the_crop_whole(scale):
    torch.manual_seed(0)
    grid = resizing_grid(torch.Size([50, 40, 40]), (scale, scale), torch.device("cpu"))
    inside = (grid.abs() <= 1).all(dim=3).sum(dim=(1, 2))
    assert (inside.float() / 1600 - scale**2).abs().max() < 0.11 * scale  # whole pixels of a shifted square


def test_a_larger_copy_covers_the_crop():
    torch.manual_seed(0)
    grid = resizing_grid(torch.Size([50, 16, 24]), (2.0, 2.0), torch.device("cpu"))
    assert (grid.abs() <= 1 + 1e-6).all()


def masks(*boxes, size=64):
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    for top, left, bottom, right in boxes:
        mask[:, top:bottom, left:right] = True
    return mask


def edges_of(box):
    rows, columns = box.any(dim=1).nonzero().flatten(), box.any(dim=0).nonzero().flatten()
    return rows.min().item(), columns.min().item(), rows.max().item() + 1, columns.max().item() + 1


def test_the_box_surrounds_the_region_in_whole_cells():
    box, share = boxes_around(masks((10, 20, 30, 25)))
    assert edges_of(box[0]) == (8, 16, 32, 32) and share.item() == pytest.approx(20 * 5 / 64**2)


def test_separate_regions_are_not_joined():
    torch.manual_seed(0)
    seen = {edges_of(boxes_around(masks((0, 0, 8, 8), (40, 48, 56, 64)))[0][0]) for _ in range(40)}
    assert seen == {(0, 0, 8, 8), (40, 48, 56, 64)}


def test_regions_are_met_in_proportion_to_their_pixels():
    torch.manual_seed(0)
    mask = masks((0, 0, 8, 8), (32, 32, 48, 44))  # 64 and 192 pixels, the second one in cells that it does not fill
    large = sum(edges_of(boxes_around(mask)[0][0])[0] == 32 for _ in range(800)) / 800
    assert large == pytest.approx(0.75, abs=0.05)


def test_a_long_region_is_followed_to_its_end():
    corridor = masks((0, 0, 8, 64), (0, 56, 64, 64), (56, 0, 64, 64))
    assert edges_of(boxes_around(corridor)[0][0]) == (0, 0, 64, 64)


def test_sides_need_not_be_whole_cells():
    box, _ = boxes_around(masks((0, 0, 21, 21), size=21))
    assert box.all() and 21 % CELL != 0


def test_an_empty_mask_gives_no_box():
    box, share = boxes_around(torch.zeros(2, 16, 16, dtype=torch.bool))
    assert not box.any() and not share.any()


def three_images():
    """Pseudo-labels of three images: only the last one shows class 2, in its lower right quarter."""
    label = torch.zeros(3, 32, 32, dtype=torch.int64)
    label[2, 16:, 16:] = 2
    return label, torch.ones(3, 32, 32, dtype=torch.bool), torch.tensor([1, 0, 0])


def mixes(confidence, least_area=0.005, changes=lambda valid: None):
    """What 200 draws decide for image 0."""
    torch.manual_seed(0)
    label, valid, partner = three_images()
    changes(valid)
    found = [boxes_around_classes(label, valid, partner, confidence, least_area) for _ in range(200)]
    return [(mix.partner[0].item(), edges_of(mix.paste_mask[0])) for mix in found]


UNSURE = torch.tensor([1.0, 1.0, -40.0])  # far beyond what a bank holds, so that class 2 is always drawn


def test_the_box_surrounds_the_unsure_class_in_an_image_that_shows_it():
    assert set(mixes(UNSURE)) == {(2, (16, 16, 32, 32))}


@pytest.mark.parametrize("reason", ["small", "padding"])
def test_without_a_large_valid_region_the_partner_gives_half_of_its_image(reason):
    if reason == "small":
        found = mixes(UNSURE, least_area=0.3)
    else:
        found = mixes(UNSURE, changes=lambda valid: valid[2].fill_(False))
    areas = [(bottom - top) * (right - left) / 32**2 for _, (top, left, bottom, right) in found]
    assert {partner for partner, _ in found} == {1} and all(0.45 < area < 0.55 for area in areas)


def test_no_image_is_its_own_partner():
    torch.manual_seed(0)
    label, valid, partner = three_images()
    for _ in range(100):
        mix = boxes_around_classes(label, valid, partner, torch.full((3,), 0.5), 0.005)
        assert (mix.partner != torch.arange(3)).all()


def test_classes_are_drawn_by_how_unsure_the_student_is():
    shares = sum(partner == 2 and box == (16, 16, 32, 32) for partner, box in mixes(torch.tensor([1.0, 1.0, 0.0])))
    expected = torch.tensor([0.0, 0.0, 1.0]).softmax(dim=0)[2].item()
    assert shares / 200 == pytest.approx(expected, abs=0.1)
