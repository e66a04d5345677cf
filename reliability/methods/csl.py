"""CSL, confidence separable learning: each image splits its own pixels, without a threshold to tune.

Source: arXiv:2509.16704 (ICCV 2025) and the released code PanLiuCSU/CSL. Each pixel has two features, confidence and
residual variance. The released code splits the pixels of an image in two by the singular vectors of the 2 x P feature
matrix, takes the half with the larger mean confidence, and weighs every pixel by its distance to that half.

The singular vectors are not needed. With the Gram matrix G = [[a, b], [b, d]] of the features (a = sum conf**2,
b = sum conf * res, d = sum res**2) a pixel x = (conf, res) belongs to the second half exactly when

    ||G||_F**2 * |x|**2 - tr(G) * x^T G x > 0,

because the difference of the two squared projections is a matrix that commutes with G. That is a polynomial of three
sums per image: it batches, needs no loop, no SVD and no value on the host, and exports to ONNX.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reliability.checks import checked_choice, checked_number, usable_inputs
from reliability.scores import winner_features
from reliability.selection import RELIABLE_WEIGHT, PixelSelection, SelectionInputs, SelectionMethod

EPSILON_INVERSE = 1e8
"""1 / eps of the released z-score (eps = 1e-8), see `z_scores`."""


@dataclass(frozen=True)
class ReliableHalf:
    """The half of each image's pixels that the others are measured against.

    Attributes:
        mean: (N, 2) float64, of confidence and residual variance; (1, 0) for an image without a usable pixel.
        variance: (N, 2) float64, unbiased, 0 for a single pixel; (1, 1) for an image without a usable pixel.
        is_second: (N, H, W) bool, the half each pixel fell in (class 1 of the released code), False where not usable.
        second_is_reliable: (N,) bool, which half was taken.
    """

    mean: Tensor
    variance: Tensor
    is_second: Tensor
    second_is_reliable: Tensor


def reliable_half(
    confidence: Tensor, residual_variance: Tensor, usable: Tensor, spread_penalty: float = 0.0
) -> ReliableHalf:
    """Split the pixels of each image and describe the half with the larger mean confidence.

    All sums are float64: float32 sums move the weights by up to 3e-3 and flip pixels at the border of the halves.
    Where all pixels are equal (rank one) the halves are arbitrary, here and in the released code, and every weight
    comes out as 1 either way.

    Args:
        confidence: (N, H, W).
        residual_variance: (N, H, W).
        usable: (N, H, W) bool; the other pixels may hold anything, NaN included.
        spread_penalty: the half is taken by mean confidence minus this times mean residual variance; 0 in CSL.
    """
    mask = usable.flatten(1).double()
    conf = torch.where(usable, confidence, 0.0).flatten(1).double()
    res = torch.where(usable, residual_variance, 0.0).flatten(1).double()
    powers = torch.stack((mask, conf, res, conf * conf, conf * res, res * res), dim=1)  # (N, 6, P)
    totals = powers.sum(dim=2)
    is_second = torch.bmm(_split_polynomial(totals), powers[:, 3:]) > 0  # (N, 1, P)
    second = torch.bmm(powers, is_second.transpose(1, 2).double()).squeeze(2)  # (N, 6)
    mean_second, variance_second = _mean_and_variance(second)
    mean_first, variance_first = _mean_and_variance(totals - second)
    take_second = _rank_of(second, spread_penalty) > _rank_of(totals - second, spread_penalty)  # (N, 1)
    empty = totals[:, :1] == 0
    nothing_seen = torch.cat((empty, torch.zeros_like(empty)), dim=1).double()  # (1, 0), made where the image lies
    return ReliableHalf(
        mean=torch.where(empty, nothing_seen, torch.where(take_second, mean_second, mean_first)),
        variance=torch.where(empty, 1.0, torch.where(take_second, variance_second, variance_first)),
        is_second=is_second.view(usable.shape),
        second_is_reliable=take_second.squeeze(1),
    )


def _split_polynomial(totals: Tensor) -> Tensor:
    """(N, 1, 3) factors of conf**2, conf * res and res**2; positive values belong to the second half."""
    a, b, d = totals[:, 3], totals[:, 4], totals[:, 5]
    two_b2 = 2 * b * b
    return torch.stack((two_b2 - d * (a - d), -2 * b * (a + d), two_b2 + a * (a - d)), dim=1).unsqueeze(1)


def _mean_and_variance(sums: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 2) mean and unbiased variance of both features from (N, 6) sums of powers."""
    count = sums[:, :1]
    mean = sums[:, 1:3] / count.clamp_min(1)
    squares = sums[:, 3::2]  # of conf and of res
    variance = (squares - count * mean * mean).clamp_min(0) / (count - 1).clamp_min(1)
    return mean, variance


def _rank_of(sums: Tensor, spread_penalty: float) -> Tensor:
    """(N, 1) by which a half is taken; an empty one never is, even if the other half's value is negative."""
    mean = sums[:, 1:3] / sums[:, :1].clamp_min(1)
    return torch.where(sums[:, :1] > 0, mean[:, :1] - spread_penalty * mean[:, 1:], -torch.inf)


def z_scores(confidence: Tensor, residual_variance: Tensor, half: ReliableHalf) -> tuple[Tensor, Tensor]:
    """Distance to the mean of the reliable half in standard deviations, positive is better in both.

    `diff / sqrt(var + 1e-8)` is written `1e4 * diff * rsqrt(1e8 * var + 1)`: the ONNX exporter takes an addition of
    1e-8 for an addition of zero and deletes it, which moved weights by 3e-3 and made constant images NaN.

    Returns:
        two maps (N, H, W) float32.
    """
    scale = EPSILON_INVERSE**0.5 * torch.rsqrt(EPSILON_INVERSE * half.variance + 1.0)  # (N, 2)
    mean, scale = half.mean.view(-1, 2, 1, 1), scale.view(-1, 2, 1, 1)
    z_confidence = (confidence.double() - mean[:, 0]) * scale[:, 0]
    z_residual = (mean[:, 1] - residual_variance.double()) * scale[:, 1]
    return z_confidence.float(), z_residual.float()


def class_band(confidence: Tensor, residual_variance: Tensor, usable: Tensor) -> Tensor:
    """The split of each image as two numbers, for plots: first half <=> low <= res / conf <= high.

    Drawn in a plot of residual variance over confidence they are two lines through the origin.

    Returns:
        (N, 2) float64, low and high; low is negative where the split is one-sided, as with most trained networks.
        NaN for an image without a usable pixel.
    """
    conf = torch.where(usable, confidence, 0.0).flatten(1).double()
    res = torch.where(usable, residual_variance, 0.0).flatten(1).double()
    a, b, d = (conf * conf).sum(1), (conf * res).sum(1), (res * res).sum(1)
    leading = 2 * b * b + a * (a - d)
    gap = ((a - d).square() + 4 * b * b).sqrt()  # difference of the eigenvalues
    high = (b * (a + d) + gap * (a * d - b * b).clamp_min(0).sqrt()) / leading
    # The product of both roots gives the other one without subtracting two nearly equal numbers.
    low = torch.where(high > 0, (2 * b * b - d * (a - d)) / (leading * high), high)
    return torch.stack((low, high), dim=1)


class CSL(SelectionMethod):
    """Weight 1 where better than the reliable half's mean, falling off as a Gaussian elsewhere.

    The weight is exactly 1 where z_confidence > 0 or z_residual > 0 (`require_confidence`: and), and otherwise
    exp(-(z_confidence**2 + z_residual**2) / alpha). `reliable` is `weight > RELIABLE_WEIGHT` and nothing else: the
    exponential also reaches 1 for a pixel that sits on the mean, so that an image of equal pixels is reliable as a
    whole. With `require_confidence` every reliable pixel is therefore at least as sure as the mean of the reliable
    half, to within sqrt(alpha * 1e-6) standard deviations.

    Weights compare the pixels of one image with each other: an image that is unsure everywhere still has reliable
    pixels. Never read them as probabilities.
    """

    normalizer = "valid"
    spread_penalty = 0.0

    def __init__(self, alpha: float, require_confidence: bool) -> None:
        super().__init__()
        self.alpha = checked_number("alpha", alpha, 1e-3)
        checked_choice("require_confidence", require_confidence, (False, True))
        self.require_confidence = require_confidence

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        confidence, pseudo_label, residual_variance = winner_features(probabilities)
        return self.select(confidence, residual_variance, pseudo_label, usable)

    @torch.no_grad()
    def select(
        self, confidence: Tensor, residual_variance: Tensor, pseudo_label: Tensor, usable: Tensor
    ) -> PixelSelection:
        """The selection from features that are already there; all (N, H, W)."""
        half = reliable_half(confidence, residual_variance, usable, self.spread_penalty)
        z_confidence, z_residual = z_scores(confidence, residual_variance, half)
        surer, calmer = z_confidence > 0, z_residual > 0
        better = surer & calmer if self.require_confidence else surer | calmer
        falling = torch.exp((z_confidence.square() + z_residual.square()) / -self.alpha)
        weight = torch.where(usable, torch.where(better, 1.0, falling), 0.0)
        maps = {
            "confidence": confidence,
            "residual_variance": residual_variance,
            "z_confidence": z_confidence,
            "z_residual": z_residual,
        }
        scores = {name: torch.where(usable, score, 0.0) for name, score in maps.items()}
        return PixelSelection(pseudo_label, weight, weight > RELIABLE_WEIGHT, scores)


def build(alpha: float = 8.0, require_confidence: bool = False) -> CSL:
    """CSL.

    Args:
        alpha: width of the fall-off; 8 in the released configurations for Pascal VOC and Cityscapes.
        require_confidence: a pixel is reliable only if it is better in both features instead of in one. The released
            rule has no floor: a pixel with equal probabilities for all classes inside a good image gets weight 1,
            because a flat rest has little variance. Off for training as published; on before people rely on a mask.

    Raises:
        ValueError: alpha below 0.001, or require_confidence is not a bool.
    """
    return CSL(alpha, require_confidence)


def trusted_block_mask(
    size_hw: tuple[int, int],
    block: int = 32,
    cover_ratio: float = 0.7,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Random square blocks for the trusted mask perturbation of one image.

    Args:
        size_hw: pixels.
        block: side of a block in pixels; each side of the image gets round(side / block) blocks, at least one.
        cover_ratio: chance of a block to be masked, in [0, 1].
        generator: source of randomness, on the device of the result; None is torch's own.

    Returns:
        (H, W) bool, True where trusted pixels are to be masked.

    Source: CSL, released `block_mask`: block 32, cover ratio 0.7.
    """
    return enlarge_cells(block_cells(size_hw, block, cover_ratio, generator), size_hw)


def block_cells(
    size_hw: tuple[int, int], block: int, cover_ratio: float, generator: torch.Generator | None = None
) -> Tensor:
    """The cells of `trusted_block_mask` before they are enlarged: one bool per block, cheap to send to a device."""
    cells_hw = [max(round(side / block), 1) for side in size_hw]
    device = None if generator is None else generator.device
    return torch.rand(cells_hw, generator=generator, device=device) < cover_ratio


def enlarge_cells(cells: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Nearest neighbor upsampling with half-pixel centers in whole numbers, so no border depends on rounding.

    Args:
        cells: (h, w).
        size_hw: pixels of the result.

    Returns:
        (H, W) of the same type.
    """
    for dim, size in enumerate(size_hw):
        pixel = torch.arange(size, device=cells.device)
        cells = cells.index_select(dim, (2 * pixel + 1) * cells.shape[dim] // (2 * size))
    return cells


def mask_trusted_pixels(image: Tensor, reliable: Tensor, block_mask: Tensor) -> Tensor:
    """Paint trusted pixels inside the blocks in the mean color, so that the student must infer them from context.

    Args:
        image: (N, 3, H, W) normalized; 0 is the mean color.
        reliable: (N, H, W) bool of the unmixed prediction.
        block_mask: (N, H, W) or (H, W) bool.

    Returns:
        a new (N, 3, H, W) image.
    """
    return image.masked_fill((reliable & block_mask).unsqueeze(1), 0.0)
