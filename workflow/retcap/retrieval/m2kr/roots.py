"""Where image paths of a data file lead: one root folder, or one root per path prefix.

    Roots("/data/images")                                  coco/val2014/x.jpg -> /data/images/coco/val2014/x.jpg
    Roots({"coco": "/data/coco", "": "/data/rest"})        coco/val2014/x.jpg -> /data/coco/val2014/x.jpg

With several roots the longest matching prefix wins and is replaced by its root; the prefix "" takes what is left over.
A path without any root is a missing image (a run without the 500 GB of landmark pictures is a normal run). A path that
leaves its root is an attack or a damaged record, so it is refused: by its text where the data are read (`has`), and on
the disk where the picture is (`check`), since folders may be links:

    a link to a file      is followed, wherever the file lies: link farms, hub caches, git-annex consist of such links
    a link to a folder    may lead only below a configured root; a folder elsewhere becomes one by a prefix of its own

>>> Roots({"coco": "/data/coco"}).resolve("coco/val2014/x.jpg").as_posix()
'/data/coco/val2014/x.jpg'
>>> Roots({"coco": "/data/coco"}).resolve("AToMiC/y.jpg") is None
True
"""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

# What can make a path leave its folder: a leading slash or drive letter, a part "..", a backslash (a separator on
# Windows, and in no published path), a NUL or another control character.
SUSPICIOUS = re.compile(r"^/|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)|[\x00-\x1f\\]")
FOLDERS_KEPT = 65_536  # folders whose real path is remembered: pictures of one folder mostly come together


class LeavesRoot(ValueError):
    """An image path that points outside its root."""


class Roots:
    """Maps image paths to files below the configured folders."""

    def __init__(self, roots: "str | Path | Mapping[str, str | Path] | Roots | None") -> None:
        if isinstance(roots, Roots):
            roots = roots.roots
        if roots is None or roots == "":  # an unset path is not the current folder
            roots = {}
        elif not isinstance(roots, Mapping):
            roots = {"": roots}
        self.roots = {prefix.strip("/"): Path(root) for prefix, root in roots.items()}
        named = sorted((prefix for prefix in self.roots if prefix), key=lambda prefix: (-len(prefix), prefix))
        self.prefixes = tuple(f"{prefix}/" for prefix in named)
        self._allowed = tuple(os.path.realpath(root) for root in self.roots.values())
        self._is_inside = lru_cache(FOLDERS_KEPT)(self._lies_below_a_root)

    def has(self, image: str) -> bool:
        """Whether a root is configured for this path. Raises LeavesRoot for a path that leaves it."""
        plain = (
            image.isprintable() and ".." not in image and "\\" not in image and image[:1] != "/" and image[1:2] != ":"
        )
        if not plain and SUSPICIOUS.search(image) is not None:  # the cheap tests first: this runs once per path
            raise LeavesRoot(
                f"image path {image!r} is absolute or leaves its root. Paths must be relative, without `..`"
            )
        return "" in self.roots or image.startswith(self.prefixes)

    def resolve(self, image: str) -> Path | None:
        """File of an image path by its text alone, or None if no root is configured for it. It may be missing."""
        if not self.has(image):
            return None
        for prefix in self.prefixes:
            if image.startswith(prefix):
                return self.roots[prefix[:-1]] / image[len(prefix) :]
        return self.roots[""] / image

    def check(self, file: Path) -> None:
        """Raise LeavesRoot where a link among the folders of a resolved file leads out of all roots."""
        folder = os.path.dirname(file)
        if not self._is_inside(folder):
            raise LeavesRoot(
                f"{folder} leads over a link to {os.path.realpath(folder)}, out of all roots. Name that folder in "
                "`roots` with a prefix of its own, or put the files in the place of the link."
            )

    def _lies_below_a_root(self, folder: str) -> bool:
        real = os.path.realpath(folder)
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self._allowed)
