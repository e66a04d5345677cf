"""How colors look to people with a color vision deficiency, and how far apart they then are.

Matrices: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
IEEE TVCG 15(6), 2009, the authors' table for severity 1.0, applied to linear RGB. Distances: CIEDE2000; about 2.3 is
just noticeable side by side, 10 is seen at a glance.
"""

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

Colors = NDArray[np.float64]
"""(..., 3) sRGB, 0 to 1."""

VISION: dict[str, Colors] = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Three of them take away one kind of cones. 'normal' changes nothing."""


def _linear(colors: Colors) -> Colors:
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def contrast(one: Colors, other: Colors) -> NDArray[np.float64]:
    """Ratio of luminances as WCAG 2.2 defines it, 1 to 21, elementwise."""
    first, second = ((_linear(colors) @ np.array([0.2126, 0.7152, 0.0722])) + 0.05 for colors in (one, other))
    ratios: NDArray[np.float64] = np.maximum(first, second) / np.minimum(first, second)
    return ratios


def seen_by(vision: str, colors: Colors) -> Colors:
    """The colors as somebody with this vision sees them."""
    changed = np.clip(_linear(colors) @ VISION[vision].T, 0, 1)
    return np.where(changed <= 0.0031308, changed * 12.92, 1.055 * changed ** (1 / 2.4) - 0.055)


def distance(one: Colors, other: Colors) -> NDArray[np.float64]:
    """CIEDE2000, elementwise."""
    distances: NDArray[np.float64] = deltaE_ciede2000(rgb2lab(one), rgb2lab(other))
    return distances


def smallest_distance(colors: Colors) -> float:
    """Between any two of (N, 3) colors."""
    first, second = np.triu_indices(len(colors), k=1)
    return float(distance(colors[first], colors[second]).min())
