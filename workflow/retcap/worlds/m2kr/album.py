"""Draws and saves the pictures of the demo world."""

from pathlib import Path

import numpy as np
from PIL import Image

from retcap.worlds.m2kr.drawing import JPEG, draw, random_view
from retcap.worlds.m2kr.looks import Look, all_looks

CLUTTER = 0.2  # share of photos with a second, smaller thing
ARCHIVE = 0.25  # share of encyclopedia pictures without colours


class Album:
    """A folder of pictures; every method writes one and returns its path relative to the folder."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder = folder
        self.pictures = 0
        self._rng = rng
        self._looks = all_looks()

    def photo(self, path: str, look: Look) -> str:
        """A thing somewhere, sometimes with another one: what a user asks about."""
        return self.scene_of(path, look, self.clutter())[0]

    def clutter(self) -> Look | None:
        """A second thing for a photo, or none."""
        return self._looks[self._rng.integers(len(self._looks))] if self._rng.random() < CLUTTER else None

    def scene_of(self, path: str, look: Look, second: Look | None) -> tuple[str, str]:
        """Path and scene of a photo of one or two things."""
        view = random_view(self._rng)
        things = [(look, view)]
        if second is not None:
            things.append((second, random_view(self._rng, size=(0.2, 0.3))))
        self._save(path, draw(view, things, self._rng))
        return path, view.scene

    def plate(self, path: str, look: Look) -> str:
        """A picture in an encyclopedia: the thing alone and large, sometimes without colours."""
        view = random_view(self._rng, size=(0.65, 0.9))
        grey = bool(self._rng.random() < ARCHIVE)
        self._save(path, draw(view._replace(grey=grey), [(look, view)], self._rng))
        return path

    def landscape(self, path: str, scene: str) -> str:
        """A scene without any thing."""
        self._save(path, draw(random_view(self._rng)._replace(scene=scene), [], self._rng))
        return path

    def damaged(self, path: str) -> str:
        """A file that is no picture: downloads break off."""
        self._file(path).write_bytes(b"\xff\xd8\xff\xe0 broken download")
        return path

    def _save(self, path: str, picture: Image.Image) -> None:
        picture.save(self._file(path), **JPEG)
        self.pictures += 1

    def _file(self, path: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file
