"""Pictures of one view under shifts that leave the class as it is: colour and shape of a thing can still be told.

outlines      the edge of the thing alone, in its colour, on white paper
inverted      the surroundings in inverted colours; the thing keeps its own
backgrounds   surroundings that no training picture has: tiles, rays, fog
noise, blur   of the whole picture
rotated       by a quarter or half of a turn, which training pictures never have
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from retcap.worlds.m2kr.drawing import SIDE, View, lit, noise_sheet, pixels, scene, shade, silhouette
from retcap.worlds.m2kr.looks import COLOURS, Look

PAPER = 250.0
NOISE = 32.0  # standard deviation in grey levels; training pictures have 3 to 12
BLUR_PX = 1.6
LINE = 0.8  # inner size of an outline, as a fraction


class Shot(NamedTuple):
    """A picture before it is drawn: the same thing, view, light and grain under every shift."""

    look: Look
    view: View
    seed: int  # of its grain, and of what a shift draws


def clean(shot: Shot) -> np.ndarray:
    """As training pictures are; float32 (SIDE, SIDE, 3)."""
    return _grain(_thing_on(scene(shot.view.scene), shot) * shot.view.light, shot, shot.view.noise)


def outlines(shot: Shot) -> np.ndarray:
    """A drawing in one colour on paper."""
    canvas = np.full((SIDE, SIDE, 3), PAPER, np.float32)
    whole = silhouette(shot.look.shape, shot.view)
    edge = np.clip(whole - silhouette(shot.look.shape, shot.view._replace(size=LINE * shot.view.size)), 0, 1)
    return canvas * (1 - edge)[:, :, None] + edge[:, :, None] * _colour(shot)


def inverted(shot: Shot) -> np.ndarray:
    """The thing before the negative of its surroundings."""
    return _grain(_thing_on(255 - scene(shot.view.scene), shot) * shot.view.light, shot, shot.view.noise)


def backgrounds(shot: Shot) -> np.ndarray:
    """One of three new surroundings."""
    x, y = pixels()
    kind = shot.seed % 3
    if kind == 0:
        pattern = lit((x % 16 < 1.5) | (y % 16 < 1.5)) * 190
    elif kind == 1:
        pattern = 120 + 60 * np.sign(np.sin(8 * np.arctan2(y - SIDE / 2, x - SIDE / 2)))
    else:
        pattern = 255 - np.hypot(x - SIDE / 2, y - SIDE / 2) * 2.5
    surroundings = np.repeat(np.asarray(pattern, np.float32)[:, :, None], 3, axis=2)
    return _grain(_thing_on(surroundings, shot) * shot.view.light, shot, shot.view.noise)


def noise(shot: Shot) -> np.ndarray:
    """More grain than any training picture."""
    return _grain(clean(shot), shot, NOISE)


def blur(shot: Shot) -> np.ndarray:
    """Out of focus."""
    return np.asarray(_picture(clean(shot)).filter(ImageFilter.GaussianBlur(BLUR_PX)), np.float32)


def rotated(shot: Shot) -> np.ndarray:
    """Turned by 90, 180 or 270 degrees, surroundings and all."""
    return np.rot90(clean(shot), k=1 + shot.seed % 3)


SHIFTS: Mapping[str, Callable[[Shot], np.ndarray]] = {
    "outlines": outlines,
    "inverted": inverted,
    "backgrounds": backgrounds,
    "noise": noise,
    "blur": blur,
    "rotated": rotated,
}


def _thing_on(surroundings: np.ndarray, shot: Shot) -> np.ndarray:
    alpha = silhouette(shot.look.shape, shot.view)
    seen = (alpha * shade(shot.look, shot.view))[:, :, None] * _colour(shot)
    return surroundings * (1 - alpha)[:, :, None] + seen


def _colour(shot: Shot) -> np.ndarray:
    return np.array(COLOURS[shot.look.colour][1], np.float32)


def _grain(canvas: np.ndarray, shot: Shot, strength: float) -> np.ndarray:
    sheet = noise_sheet()
    top, left = shot.seed % (len(sheet) - SIDE), shot.seed % (sheet.shape[1] - SIDE)
    return canvas + strength * sheet[top : top + SIDE, left : left + SIDE]


def _picture(canvas: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def draw(shot: Shot, shift: str | None) -> Image.Image:
    """The picture, clean or under a shift; SIDE x SIDE RGB."""
    return _picture((clean if shift is None else SHIFTS[shift])(shot))
