"""An encoder with words and without weights: a text is the picture of what it names, so that zero-shot has answers."""

from collections.abc import Sequence

import numpy as np

from retcap.features.encoders import PixelEncoder
from retcap.worlds.m2kr.drawing import View
from retcap.worlds.m2kr.looks import COLOURS, SHAPES, Look
from retcap.worlds.transfer.shifts import Shot, clean

VIEW = View(scene="sand", centre=(0.5, 0.5), size=0.7, angle=0.0, light=1.0, noise=0.0)


def named(text: str) -> Shot:
    """The first colour and the first shape that a text names, by either of their words."""
    words = text.split()
    colour = next((name for name, (other, _) in COLOURS.items() if name in words or other in words), "red")
    shape = next((name for name, other in SHAPES.items() if name in words or other in words), "disc")
    return Shot(Look(colour, shape, "plain"), VIEW, seed=0)


class WordEncoder(PixelEncoder):
    """Pixels for pictures, and for texts the pixels of a drawing."""

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """One drawing per text."""
        return self.images(np.stack([np.clip(clean(named(text)), 0, 255).astype(np.uint8) for text in texts]))
