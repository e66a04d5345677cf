"""Generated street scenes with exact ground truth, for demonstrations and tests.

They are meant to leave a model in doubt where real ones do: grey buildings under a grey sky, pavement next to a road of
nearly its colour, cars as grey as the asphalt, shadows, haze, thin poles, people of a few pixels, void at some borders.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray
from datasets.scene_canvas import Color, SceneCanvas, cloud_noise

CLASSES = ClassSet(
    names=("sky", "building", "vegetation", "road", "pavement", "car", "person", "pole"),
    colors=(
        *((86, 180, 233), (213, 94, 0), (0, 158, 115), (136, 136, 136)),
        *((204, 121, 167), (0, 114, 178), (240, 228, 66), (230, 159, 0)),
    ),
)
SKY, BUILDING, VEGETATION, ROAD, PAVEMENT, CAR, PERSON, POLE = range(len(CLASSES))

_CAR_PAINTS: tuple[Color, ...] = (
    *((150, 40, 38), (44, 70, 128), (212, 212, 208), (34, 36, 40), (116, 118, 120), (70, 96, 80)),
)
_OVERSAMPLING = 2  # Painted at twice the size, so that edges in the picture are as soft as a camera's.


@dataclass(frozen=True)
class _Layout:
    """Where things stand: all lengths in pixels of the oversampled canvas."""

    horizon: float
    vanishing_x: float
    road_left: float
    road_right: float
    pavement_width: float

    def ground_x(self, x_at_bottom: float, y: float, height: float) -> float:
        """Where a line on the ground towards the vanishing point passes at row `y`."""
        nearness = (y - self.horizon) / (height - self.horizon)
        return self.vanishing_x + (x_at_bottom - self.vanishing_x) * nearness


def generate_scene(seed: tuple[int, ...], size_hw: tuple[int, int]) -> tuple[NDArray[np.uint8], LabelArray]:
    """Paint one scene.

    Args:
        seed: the same numbers give the same scene.
        size_hw: at least 64 x 64.

    Returns:
        image (H, W, 3) uint8 RGB, label (H, W) uint8 with ids of `CLASSES` and IGNORE_INDEX.

    Raises:
        ValueError: smaller than 64 x 64.
    """
    if min(size_hw) < 64:
        raise ValueError(f"scenes are at least 64 x 64 pixels, got height {size_hw[0]}, width {size_hw[1]}")
    rng = np.random.default_rng(seed)
    canvas = SceneCanvas((size_hw[0] * _OVERSAMPLING, size_hw[1] * _OVERSAMPLING), SKY)
    layout = _random_layout(rng, canvas.size_hw)
    sky_color = _paint_sky(rng, canvas, layout)
    _paint_far_side(rng, canvas, layout)
    _paint_ground(rng, canvas, layout)
    _paint_haze(rng, canvas, layout, sky_color)
    _paint_objects(rng, canvas, layout)
    _paint_shadows(rng, canvas, layout)
    label = np.ascontiguousarray(canvas.label[::_OVERSAMPLING, ::_OVERSAMPLING])
    image = _photograph(rng, canvas.rgb, size_hw)
    _add_void(rng, image, label)
    return image, label


def _random_layout(rng: np.random.Generator, size_hw: tuple[int, int]) -> _Layout:
    height, width = size_hw
    return _Layout(
        horizon=height * rng.uniform(0.40, 0.56),
        vanishing_x=width * rng.uniform(0.25, 0.75),
        road_left=width * rng.uniform(-0.25, 0.15),
        road_right=width * rng.uniform(0.85, 1.25),
        pavement_width=width * rng.uniform(0.18, 0.45),
    )


def _paint_sky(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout) -> Color:
    height, _ = canvas.size_hw
    skies: tuple[tuple[Color, Color], ...] = (
        ((88, 142, 206), (190, 214, 234)),  # clear
        ((150, 156, 164), (196, 198, 200)),  # overcast: the colour of concrete
        ((112, 128, 170), (236, 196, 160)),  # evening
    )
    top, bottom = (np.array(color, np.float32) for color in skies[rng.choice(3, p=[0.5, 0.3, 0.2])])
    depth = np.clip(np.arange(height, dtype=np.float32) / layout.horizon, 0, 1)[:, None, None]
    gradient = np.broadcast_to(top * (1 - depth) + bottom * depth, canvas.rgb.shape)
    clouds = np.clip(cloud_noise(rng, canvas.size_hw, height / 4, 4) * 1.6, 0, 1)[..., None] * rng.uniform(0, 0.8)
    canvas.fill(np.ones(canvas.size_hw, bool), gradient * (1 - clouds) + np.float32(238) * clouds, SKY)
    return float(bottom[0]), float(bottom[1]), float(bottom[2])


def _paint_far_side(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout) -> None:
    """Buildings and trees along the horizon, taller towards the sides."""
    width = canvas.size_hw[1]
    left = -rng.uniform(0, 0.1) * width
    while left < width:
        block = width * rng.uniform(0.08, 0.24)
        sideways = abs(left + block / 2 - layout.vanishing_x) / width
        if rng.random() < 0.72:
            rise = layout.horizon * np.clip(rng.uniform(0.25, 0.6) + sideways * 0.6, 0.2, 1.1)
            _paint_building(rng, canvas, (left, layout.horizon - rise, left + block), layout.horizon)
            left += block * rng.uniform(0.9, 1.15)
        else:
            radius = block * rng.uniform(0.35, 0.55)
            _paint_tree(rng, canvas, (left + block / 2, layout.horizon + 2), radius)
            left += block * rng.uniform(0.6, 0.9)


def _paint_building(
    rng: np.random.Generator, canvas: SceneCanvas, left_top_right: tuple[float, float, float], base: float
) -> None:
    left, top, right = left_top_right
    facades: tuple[Color, ...] = (
        *((152, 92, 74), (186, 160, 128), (158, 160, 164), (112, 116, 124), (206, 200, 188), (120, 146, 168)),
        (132, 112, 96),
    )
    color = np.array(facades[rng.integers(len(facades))], np.float32) * rng.uniform(0.75, 1.1)
    wall = canvas.rectangle(left, top, right, base + 6)
    texture = 1 + 0.07 * cloud_noise(rng, canvas.size_hw, 12, 3)[..., None]
    side = np.linspace(rng.uniform(0.8, 1), rng.uniform(0.85, 1.1), canvas.size_hw[1], dtype=np.float32)[None, :, None]
    canvas.fill(wall, color * texture * side, BUILDING)
    if rng.random() < 0.35:  # a gable
        gable = canvas.polygon([(left, top), (right, top), ((left + right) / 2, top - (right - left) * 0.35)])
        canvas.fill(gable, color * rng.uniform(0.5, 0.8) * texture, BUILDING)
    _paint_windows(rng, canvas, wall, left_top_right, base)


def _paint_windows(
    rng: np.random.Generator,
    canvas: SceneCanvas,
    wall: NDArray[np.bool_],
    left_top_right: tuple[float, float, float],
    base: float,
) -> None:
    left, top, right = left_top_right
    step_x, step_y = rng.uniform(9, 16), rng.uniform(11, 18)
    pane_x, pane_y = step_x * rng.uniform(0.4, 0.65), step_y * rng.uniform(0.4, 0.65)
    rows, columns = (np.arange(side, dtype=np.float32) for side in canvas.size_hw)
    pane_columns = ((columns - left - step_x * 0.3) % step_x < pane_x) & (columns > left + 3) & (columns < right - 3)
    pane_rows = ((rows - top - step_y * 0.3) % step_y < pane_y) & (rows > top + 4) & (rows < base - 6)
    panes = pane_rows[:, None] & pane_columns[None, :]
    glass = np.float32(rng.uniform(38, 110)) + 22 * cloud_noise(rng, canvas.size_hw, 9, 2)[..., None]
    canvas.fill(wall & panes, glass * np.array([0.92, 1, 1.1], np.float32), None)


def _paint_tree(rng: np.random.Generator, canvas: SceneCanvas, foot_xy: tuple[float, float], radius: float) -> None:
    x, y = foot_xy
    trunk_height = radius * rng.uniform(0.5, 1.1)
    trunk = canvas.line((x, y), (x + rng.normal(0, 2), y - trunk_height - radius * 0.4), radius * 0.16)
    canvas.fill(trunk, (78, 62, 50), VEGETATION)
    crown = np.zeros(canvas.size_hw, bool)
    for _ in range(int(rng.integers(5, 10))):
        offset_x, offset_y = rng.normal(0, radius * 0.45), rng.normal(0, radius * 0.35)
        blob = radius * rng.uniform(0.35, 0.7)
        crown |= canvas.ellipse((x + offset_x, y - trunk_height - radius * 0.7 + offset_y), (blob, blob * 0.85))
    ragged = cloud_noise(rng, canvas.size_hw, 7, 2) > -0.42
    _fill_leaves(rng, canvas, crown & ragged, VEGETATION)


def _fill_leaves(rng: np.random.Generator, canvas: SceneCanvas, mask: NDArray[np.bool_], class_id: int) -> None:
    greens: tuple[Color, ...] = ((62, 96, 46), (86, 110, 52), (110, 116, 60), (52, 78, 54))
    color = np.array(greens[rng.integers(len(greens))], np.float32) * rng.uniform(0.8, 1.25)
    leaves = 1 + 0.38 * cloud_noise(rng, canvas.size_hw, 6, 3)[..., None]
    canvas.fill(mask, color * leaves, class_id)


def _paint_ground(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout) -> None:
    height, width = canvas.size_hw
    below = np.arange(height)[:, None] >= layout.horizon
    below = np.broadcast_to(below, canvas.size_hw)
    _fill_leaves(rng, canvas, np.asarray(below), VEGETATION)
    asphalt = rng.uniform(78, 122)
    paving = asphalt + rng.choice([rng.uniform(4, 14), rng.uniform(22, 52)])  # the first is hard to tell from the road
    tint = np.array([1, 0.985, 0.965], np.float32)
    grain = cloud_noise(rng, canvas.size_hw, 4, 2)[..., None]
    patches = cloud_noise(rng, canvas.size_hw, height / 5, 3)[..., None]
    apex = (layout.vanishing_x, layout.horizon)
    outer_left, outer_right = layout.road_left - layout.pavement_width, layout.road_right + layout.pavement_width
    walk = canvas.polygon([apex, (outer_right, height), (outer_left, height)])
    canvas.fill(walk & below, np.float32(paving) * tint * (1 + 0.06 * grain + 0.05 * patches), PAVEMENT)
    _paint_joints(canvas, layout, walk)
    road = canvas.polygon([apex, (layout.road_right, height), (layout.road_left, height)])
    canvas.fill(road & below, np.float32(asphalt) * (1 + 0.07 * grain + 0.10 * patches), ROAD)
    _paint_markings(rng, canvas, layout)


def _paint_joints(canvas: SceneCanvas, layout: _Layout, walk: NDArray[np.bool_]) -> None:
    """Rows of paving stones, closer together in the distance."""
    height, _ = canvas.size_hw
    rows = np.arange(height, dtype=np.float64)
    distance = (height - layout.horizon) / np.maximum(rows - layout.horizon, 1.0)
    joints = np.diff(np.floor(distance * 9), prepend=0) != 0
    near = rows > layout.horizon + (height - layout.horizon) * 0.25
    lines = walk & (joints & near)[:, None]
    canvas.rgb[lines] *= np.float32(0.86)


def _paint_markings(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout) -> None:
    height, _ = canvas.size_hw
    if rng.random() < 0.2:
        return
    middle = layout.road_left + (layout.road_right - layout.road_left) * rng.uniform(0.4, 0.6)
    near = 1.0
    while near > 0.08:
        far = near * rng.uniform(0.68, 0.76)
        corners = [
            (layout.ground_x(middle + side, y, height), y)
            for side, fraction in ((-4, near), (4, near), (4, far), (-4, far))
            for y in [layout.horizon + (height - layout.horizon) * fraction]
        ]
        canvas.fill(canvas.polygon(corners), (206, 204, 196), None)
        near = far * 0.72


def _paint_haze(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout, sky_color: Color) -> None:
    """Distance takes contrast: strongest at the horizon."""
    rows = np.arange(canvas.size_hw[0], dtype=np.float32)
    strength = rng.uniform(0.05, 0.45) * np.exp(-(((rows - layout.horizon) / (canvas.size_hw[0] * 0.16)) ** 2))
    haze = strength.astype(np.float32)[:, None, None]
    not_sky = (canvas.label != SKY)[..., None]
    canvas.rgb += haze * not_sky * (np.array(sky_color, np.float32) - canvas.rgb)


def _paint_objects(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout) -> None:
    """Cars, people, street lamps and street trees, far ones first."""
    counts: tuple[tuple[Callable[[np.random.Generator, SceneCanvas, _Layout, float], None], int], ...] = (
        (_paint_car, int(rng.integers(1, 5))),
        (_paint_person, int(rng.choice(4, p=[0.25, 0.3, 0.25, 0.2]))),  # in three scenes of four
        (_paint_pole, int(rng.integers(1, 5))),
        (_paint_street_tree, int(rng.integers(0, 3))),
    )
    objects = [(float(nearness), paint) for paint, count in counts for nearness in rng.uniform(0.10, 0.85, count)]
    for nearness, paint in sorted(objects, key=lambda entry: entry[0]):
        paint(rng, canvas, layout, nearness)


def _foot(layout: _Layout, x_at_bottom: float, nearness: float, height: float) -> tuple[float, float]:
    y = layout.horizon + (height - layout.horizon) * nearness
    return layout.ground_x(x_at_bottom, y, height), y


def _paint_car(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout, nearness: float) -> None:
    height, width = canvas.size_hw
    lane = layout.road_left + (layout.road_right - layout.road_left) * rng.choice([0.12, 0.3, 0.7, 0.88])
    x, y = _foot(layout, lane, nearness, height)
    long, tall = width * 0.34 * nearness + 8, width * 0.17 * nearness + 5
    color = np.array(_CAR_PAINTS[rng.integers(len(_CAR_PAINTS))], np.float32)
    body = canvas.polygon(
        [
            *((x - long / 2, y), (x - long / 2, y - tall * 0.5), (x - long * 0.3, y - tall * 0.58)),
            *((x - long * 0.17, y - tall), (x + long * 0.2, y - tall), (x + long * 0.34, y - tall * 0.56)),
            *((x + long / 2, y - tall * 0.46), (x + long / 2, y)),
        ]
    )
    shade = np.clip((np.arange(height, dtype=np.float32) - (y - tall)) / tall, 0, 1)[:, None, None]
    canvas.fill(body, color * (1.18 - 0.5 * shade), CAR)
    cabin = [(-0.25, 0.6), (-0.14, 0.93), (0.17, 0.93), (0.28, 0.6)]
    canvas.fill(canvas.polygon([(x + dx * long, y - dy * tall) for dx, dy in cabin]), (56, 66, 76), None)
    for side in (-0.28, 0.28):
        wheel = canvas.ellipse((x + side * long, y - tall * 0.04), (tall * 0.19, tall * 0.19))
        canvas.fill(wheel, (26, 26, 28), CAR)


def _paint_person(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout, nearness: float) -> None:
    height, _ = canvas.size_hw
    left_side = layout.road_left - layout.pavement_width * rng.uniform(-0.6, 0.8)
    right_side = layout.road_right + layout.pavement_width * rng.uniform(-0.6, 0.8)
    x, y = _foot(layout, rng.choice([left_side, right_side]), nearness, height)
    tall = height * 0.36 * nearness + 9
    clothes = rng.uniform(30, 190, (2, 3)).astype(np.float32)
    for foot in (-0.09, 0.09):
        leg = canvas.line((x + foot * tall, y), (x, y - tall * 0.5), tall * 0.10)
        canvas.fill(leg, (float(clothes[0, 0]), float(clothes[0, 1]), float(clothes[0, 2])), PERSON)
    torso = canvas.ellipse((x, y - tall * 0.64), (tall * 0.14, tall * 0.23))
    canvas.fill(torso, (float(clothes[1, 0]), float(clothes[1, 1]), float(clothes[1, 2])), PERSON)
    skin = np.array((206, 160, 130), np.float32) * rng.uniform(0.45, 1.1)
    canvas.fill(canvas.ellipse((x, y - tall * 0.93), (tall * 0.075, tall * 0.09)), skin, PERSON)


def _paint_pole(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout, nearness: float) -> None:
    height, _ = canvas.size_hw
    x, y = _foot(layout, rng.choice([layout.road_left, layout.road_right]) + rng.normal(0, 8), nearness, height)
    tall = height * rng.uniform(0.6, 1.1) * nearness + 24
    thick = max(2.0, 9 * nearness)
    color = np.array((70, 72, 74), np.float32) * rng.uniform(0.6, 2.0)
    canvas.fill(canvas.line((x, y), (x, y - tall), thick), color, POLE)
    if rng.random() < 0.5:
        arm = float(rng.choice([-1, 1])) * tall * 0.2
        canvas.fill(canvas.line((x, y - tall), (x + arm, y - tall * 1.03), thick * 0.7), color, POLE)
    else:
        plate = canvas.ellipse((x, y - tall), (thick * 1.5, thick * 1.5))
        canvas.fill(plate, (190, 60, 50) if rng.random() < 0.5 else (60, 96, 170), POLE)


def _paint_street_tree(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout, nearness: float) -> None:
    height, width = canvas.size_hw
    outside = layout.pavement_width * rng.uniform(0.8, 1.3)
    x_at_bottom = rng.choice([layout.road_left - outside, layout.road_right + outside])
    x, y = _foot(layout, float(x_at_bottom), nearness, height)
    _paint_tree(rng, canvas, (x, y), width * 0.16 * nearness + 8)


def _paint_shadows(rng: np.random.Generator, canvas: SceneCanvas, layout: _Layout) -> None:
    """Soft dark patches across the ground, and a contact shadow under every car."""
    height, width = canvas.size_hw
    shade = np.ones(canvas.size_hw, np.float32)
    for _ in range(int(rng.integers(0, 3))):
        y = rng.uniform(layout.horizon + 10, height)
        points = [(rng.uniform(-0.2, 1.2) * width, y + rng.uniform(-20, 30)) for _ in range(4)]
        shade[canvas.polygon(points)] *= np.float32(rng.uniform(0.45, 0.75))
    cars = (canvas.label == CAR).astype(np.uint8)
    under = cv2.dilate(cars, np.ones((5, 3), np.uint8)).astype(bool) & (cars == 0) & (canvas.label == ROAD)
    shade[under] *= np.float32(0.55)
    shade = np.asarray(cv2.GaussianBlur(shade, (0, 0), rng.uniform(1.5, 4)), np.float32)
    on_ground = (canvas.label != SKY)[..., None]
    canvas.rgb *= np.where(on_ground, shade[..., None], np.float32(1))


def _photograph(rng: np.random.Generator, rgb: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Light, lens and sensor: gradient, colour temperature, vignette, blur, noise."""
    picture = np.asarray(cv2.resize(rgb, size_hw[::-1], interpolation=cv2.INTER_AREA), np.float32)
    height, width = size_hw
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = 1 + rng.uniform(-0.16, 0.16) * across + rng.uniform(-0.10, 0.10) * down
    light = light * (1 - rng.uniform(0, 0.22) * (across**2 + down**2) / 2) * rng.uniform(0.72, 1.15)
    warmth = rng.uniform(-0.07, 0.07)
    picture = picture * light[..., None].astype(np.float32) * np.array([1 + warmth, 1, 1 - warmth], np.float32)
    blur = rng.uniform(0, 0.9)
    if blur > 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.float32)
    picture = picture + rng.normal(0, rng.uniform(2, 9), picture.shape).astype(np.float32)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def _add_void(rng: np.random.Generator, image: NDArray[np.uint8], label: LabelArray) -> None:
    """The own car's bonnet at the bottom of some scenes, and a strip that nobody labeled at the side of others."""
    height, width = label.shape
    if rng.random() < 0.3:
        bonnet = np.zeros(label.shape, np.uint8)
        center = (round(width * rng.uniform(0.4, 0.6)), height + round(height * 0.05))
        cv2.ellipse(bonnet, center, (round(width * 0.42), round(height * rng.uniform(0.1, 0.16))), 0, 0, 360, 1, -1)
        inside = bonnet.astype(bool)
        image[inside] = (image[inside] * 0.25 + 18).astype(np.uint8)
        label[inside] = IGNORE_INDEX
    if rng.random() < 0.3:
        strip = round(width * rng.uniform(0.01, 0.04))
        label[:, slice(0, strip) if rng.random() < 0.5 else slice(width - strip, width)] = IGNORE_INDEX
