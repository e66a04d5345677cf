"""What the overlay paints stays apart with a color vision deficiency: classes by color, states by pattern."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.browser.conftest import ReviewerPage
from tests.color_vision import VISION, distance, seen_by, smallest_distance

pytestmark = pytest.mark.browser

PICTURES = {"dark": 0.1, "middle": 0.5, "bright": 0.9}
"""Gray below the overlay."""
CLASSES_APART = {"dark": 2.3, "middle": 2.3, "bright": 1.5}
"""Smallest CIEDE2000 between two of eight classes at 35 %: just noticeable, less on what is nearly white. Raising the
opacity (O) multiplies it, and from the ninth class on every patch carries its key."""
TONES_APART = 6.0
"""Between the two tones of a pattern, whose shape then tells the state whatever the color."""
_TABLES = """() => {
  const { tables } = document.querySelector('#reviewer .ps').pixelsieve.screen.renderer.options;
  return Object.fromEntries(Object.entries(tables).map(([name, words]) => [name, [...new Uint8Array(
    (typeof words === 'number' ? Uint32Array.of(words) : words).buffer)]]));
}"""


@pytest.fixture
def tables(reviewer: ReviewerPage) -> dict[str, NDArray[np.float64]]:
    """(N, 4) RGBA, 0 to 1, as the page paints: by class id, or one row."""
    found = reviewer.page.evaluate(_TABLES)
    return {name: np.array(content).reshape(-1, 4) / 255 for name, content in found.items()}


def on_picture(rgba: NDArray[np.float64], gray: float) -> NDArray[np.float64]:
    """Painted over a gray picture."""
    return rgba[..., :3] * rgba[..., 3:] + gray * (1 - rgba[..., 3:])


def test_eight_classes_stay_apart_and_patterns_keep_two_tones(tables: dict[str, NDArray[np.float64]]) -> None:
    pairs = {
        "waits": (tables["hatchLight"][:8], tables["hatchDark"][:8]),
        "outline of what waits": (tables["dash"], tables["dashGap"]),
        "outline of what people decided": (tables["verified"], tables["casing"]),
        "void": (tables["voidLine"], tables["voidFill"]),
        "dots of the band": (tables["dot"].repeat(8, axis=0), tables["plain"][:8]),
    }
    too_close = []
    for vision in VISION:
        for name, gray in PICTURES.items():
            classes = seen_by(vision, on_picture(tables["plain"][:8], gray))
            if smallest_distance(classes) < CLASSES_APART[name]:
                too_close.append((vision, name, "classes", smallest_distance(classes)))
            for what, (one, other) in pairs.items():
                tones = [seen_by(vision, on_picture(each, gray)) for each in (one, other)]
                apart = float(distance(*tones).min())
                if apart < TONES_APART:
                    too_close.append((vision, name, what, apart))
    assert too_close == []


def test_reliability_has_a_hue_of_its_own_and_grows_with_doubt(tables: dict[str, NDArray[np.float64]]) -> None:
    for vision in VISION:
        ramp = seen_by(vision, on_picture(tables["reliability"][::32], 0.5))
        steps = distance(ramp, np.broadcast_to(ramp[0], ramp.shape))
        assert np.all(np.diff(steps) > 0)
        classes = seen_by(vision, on_picture(tables["plain"][:8], 0.5))
        assert distance(np.broadcast_to(ramp[-1], classes.shape), classes).min() > TONES_APART
