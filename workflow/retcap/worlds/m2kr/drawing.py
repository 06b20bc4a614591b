"""Draws the things of the demo world: one look, at a random place, size and angle, in a random scene."""

from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from retcap.worlds.m2kr.looks import COLOURS, SCENES, Look

SIDE = 64  # px; the demo's encoders see the image as it is
DARK = 0.42  # factor on the colour in the dark parts of a pattern
PERIOD = 9.0  # px of a stripe pair at full size
JPEG = {"format": "JPEG", "quality": 88, "subsampling": 0}  # no chroma subsampling: the colour carries the meaning
NOISE_ROWS = 257

# base colour, strength of its texture, direction of its waves (None: grain only)
SCENE_PAINT = {
    "sand": ((222, 200, 150), 10, None),
    "grass": ((96, 140, 70), 22, (0.9, 0.05)),
    "night": ((28, 30, 48), 8, None),
    "snow": ((236, 240, 244), 5, None),
    "water": ((90, 150, 190), 16, (0.08, 0.6)),
    "wood": ((150, 110, 75), 20, (0.5, 0.02)),
}


class View(NamedTuple):
    """How a thing is seen."""

    scene: str
    centre: tuple[float, float]  # fractions of the side
    size: float  # diameter as a fraction of the side
    angle: float  # degrees
    light: float  # factor on all colours
    noise: float  # standard deviation in grey levels
    grey: bool = False  # an archive picture without colours


def random_view(rng: np.random.Generator, *, size: tuple[float, float] = (0.5, 0.85)) -> View:
    """A view with everything at random, drawn from `rng`."""
    x, y, extent, angle, light, noise = rng.random(6)
    diameter = size[0] + (size[1] - size[0]) * extent
    margin = diameter / 2 * 0.9  # a tenth of the thing may leave the picture
    centre = (margin + x * (1 - 2 * margin), margin + y * (1 - 2 * margin))
    scene = SCENES[rng.integers(len(SCENES))]
    return View(scene, centre, diameter, (angle - 0.5) * 50, 0.75 + 0.5 * light, 3 + 9 * noise)


def draw(view: View, things: list[tuple[Look, View]], rng: np.random.Generator) -> Image.Image:
    """Picture of the things, the first in front, in the scene, light and noise of `view`; SIDE x SIDE RGB."""
    canvas = scene(view.scene).copy()
    for look, seen in reversed(things):
        alpha = silhouette(look.shape, seen)
        colour = np.array(COLOURS[look.colour][1], np.float32)
        canvas *= (1 - alpha)[:, :, None]
        canvas += (alpha * shade(look, seen))[:, :, None] * colour
    canvas *= view.light
    start = rng.integers(NOISE_ROWS - SIDE)
    canvas += view.noise * noise_sheet()[start : start + SIDE, rng.integers(8) :][:, :SIDE]
    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    return picture.convert("L").convert("RGB") if view.grey else picture


def silhouette(shape: str, view: View) -> np.ndarray:
    """Coverage in [0, 1] of every pixel, float32 (SIDE, SIDE); smooth by drawing at twice the size."""
    side = 2 * SIDE
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    x, y, radius = side * view.centre[0], side * view.centre[1], side * view.size / 2
    if shape in ("disc", "ring", "crescent"):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        if shape != "disc":
            turn = np.deg2rad(view.angle)
            shift, hole = (0.0, 0.5 * radius) if shape == "ring" else (0.5 * radius, 0.8 * radius)
            x, y = x + shift * np.cos(turn), y + shift * np.sin(turn)
            pen.ellipse((x - hole, y - hole, x + hole, y + hole), fill=0)
    else:
        corners = outline(shape) @ rotation(view.angle) * radius + (x, y)
        pen.polygon([(float(a), float(b)) for a, b in corners], fill=255)
    return np.asarray(mask.reduce(2), dtype=np.float32) / 255


def shade(look: Look, view: View) -> np.ndarray | float:
    """Factor on the thing's colour at every pixel, float32 (SIDE, SIDE); 1 for a plain thing."""
    if look.pattern == "plain":
        return 1.0
    if look.pattern == "edged":
        return lit(silhouette(look.shape, view._replace(size=view.size * 0.72)) < 0.5)
    x, y = (axis - SIDE * middle for axis, middle in zip(pixels(), view.centre, strict=True))
    turn = np.deg2rad(view.angle)
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = x * cosine + y * sine, y * cosine - x * sine  # the thing's own axes
    half = PERIOD / 2 * (0.6 + view.size)
    if look.pattern == "striped":
        return lit(u % (2 * half) < half)
    if look.pattern == "checked":
        return lit((u % (2.6 * half) < 1.3 * half) == (v % (2.6 * half) < 1.3 * half))
    if look.pattern == "dotted":
        return lit((u % (2 * half) - half) ** 2 + (v % (2 * half) - half) ** 2 < (0.62 * half) ** 2)
    assert look.pattern == "halved", look.pattern
    return lit(v < 0)


def lit(dark: np.ndarray) -> np.ndarray:
    """Factor on the colour: DARK where `dark`, else 1."""
    return np.where(dark, np.float32(DARK), np.float32(1))


@cache
def scene(name: str) -> np.ndarray:
    """Background without noise, float32 (SIDE, SIDE, 3)."""
    base, strength, wave = SCENE_PAINT[name]
    x, y = pixels()
    texture = np.sin(x * wave[0] + y * wave[1]) if wave else np.sin(12.9 * x + 78.2 * y) * np.cos(39.3 * x - 11.1 * y)
    return np.array(base, np.float32) + strength * texture[:, :, None].astype(np.float32)


@cache
def outline(shape: str) -> np.ndarray:
    """Corners of a polygon inside the unit circle, (n, 2)."""
    if shape == "square":
        return np.array([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)])
    if shape == "triangle":
        return np.array([(0.0, -1.0), (0.9, 0.75), (-0.9, 0.75)])
    if shape == "star":
        turns = np.arange(10) * np.pi / 5 - np.pi / 2
        return np.stack([np.cos(turns), np.sin(turns)], axis=1) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]
    if shape == "cross":
        a, b = 0.33, 1.0
        arm = [
            (-a, -b),
            (a, -b),
            (a, -a),
            (b, -a),
            (b, a),
            (a, a),
            (a, b),
            (-a, b),
            (-a, a),
            (-b, a),
            (-b, -a),
            (-a, -a),
        ]
        return np.array(arm)
    assert shape == "arrow", shape
    return np.array([(0.0, -1.0), (0.85, 0.0), (0.35, 0.0), (0.35, 1.0), (-0.35, 1.0), (-0.35, 0.0), (-0.85, 0.0)])


def rotation(degrees: float) -> np.ndarray:
    """Rotation matrix for row vectors, (2, 2)."""
    turn = np.deg2rad(degrees)
    return np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]], np.float32)


@cache
def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y of every pixel, float32, broadcasting to (SIDE, SIDE)."""
    axis = np.arange(SIDE, dtype=np.float32)
    return axis[None, :], axis[:, None]


@cache
def noise_sheet() -> np.ndarray:
    """Unit normal noise to cut windows from, float32: new noise for every picture would take half of the time."""
    return np.random.default_rng(0).standard_normal((NOISE_ROWS, SIDE + 8, 3)).astype(np.float32)
