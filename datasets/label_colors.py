"""Labels that were saved as colours, and palettes that contradict the class list."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray

BLACK = (0, 0, 0)


def label_from_colors(
    rgb: NDArray[np.uint8],
    class_set: ClassSet,
    source: str,
    void_colors: Sequence[tuple[int, int, int]] = (BLACK,),
    max_unknown_share: float = 0.0,
) -> LabelArray:
    """Ids of a coloured mask whose colours are exactly those of the class set.

    Args:
        rgb: (H, W, 3) uint8.
        class_set: every colour belongs to one class only; a class's colour wins over a void colour.
        source: names the file in errors.
        void_colors: read as IGNORE_INDEX.
        max_unknown_share: share of the pixels, 0 to 1, that may have another colour and become IGNORE_INDEX.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: two classes share a colour, or too many pixels have a colour that is no class's.
    """
    ids = {_code(color): IGNORE_INDEX for color in void_colors}
    for class_id, color in enumerate(class_set.colors):
        if ids.get(_code(color), IGNORE_INDEX) != IGNORE_INDEX:
            raise ValueError(f"{source}: two classes share the colour {color}; a coloured mask cannot tell them apart.")
        ids[_code(color)] = class_id
    known = np.array(sorted(ids), dtype=np.uint32)
    codes = _codes(rgb)  # (H, W)
    position = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    unknown = known[position] != codes
    if unknown.mean() > max_unknown_share:
        raise ValueError(_unknown_colors_message(rgb, unknown, class_set, source))
    label = np.array([ids[int(code)] for code in known], dtype=np.uint8)[position]
    label[unknown] = IGNORE_INDEX
    return label


def refuse_contradicting_palette(
    palette: dict[int, tuple[int, int, int]], label: LabelArray, class_set: ClassSet, source: str
) -> None:
    """Refuse a palette mask whose colours say other classes than its ids.

    Programs that "optimize" a palette renumber it. When every id in use is shown in some class's colour, but not in
    its own, the numbers are not class ids.

    Raises:
        ValueError: names one id and the two classes.
    """
    class_of_color = {color: class_id for class_id, color in enumerate(class_set.colors)}
    used = [int(value) for value in np.flatnonzero(np.bincount(label.reshape(-1), minlength=256))]
    shown = {value: class_of_color.get(palette.get(value, (-1, -1, -1))) for value in used if value != IGNORE_INDEX}
    wrong = [value for value, class_id in shown.items() if class_id != value]
    if wrong and None not in shown.values():
        class_id = shown[wrong[0]]
        assert class_id is not None
        raise ValueError(
            f"{source}: the palette shows id {wrong[0]} in the colour of class {class_id} "
            f"({class_set.names[class_id]}), so its ids are not class ids. Was the palette renumbered by an image "
            "editor? Save the class ids themselves as an 8-bit grayscale PNG."
        )


def _unknown_colors_message(
    rgb: NDArray[np.uint8], unknown: NDArray[np.bool_], class_set: ClassSet, source: str
) -> str:
    colors, counts = np.unique(rgb[unknown], axis=0, return_counts=True)
    most = [tuple(int(value) for value in colors[index]) for index in np.argsort(-counts)[:3]]
    gray = bool((rgb == rgb[..., :1]).all())
    hint = (
        "Its three channels are equal, so these are probably class ids: save one channel as an 8-bit grayscale PNG."
        if gray
        else "Save class ids as an 8-bit grayscale PNG, or correct the colours in classes.json."
    )
    return (
        f"{source} is a coloured mask, and {unknown.mean():.1%} of its pixels have a colour that none of the "
        f"{len(class_set)} classes has, for example {', '.join(map(str, most))}. {hint}"
    )


def _code(color: tuple[int, int, int]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def _codes(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    return red << np.uint32(16) | green << np.uint32(8) | blue
