"""Where image paths of a data file lead: one root folder, or one root per path prefix.

    Roots("/data/images")                                  coco/val2014/x.jpg -> /data/images/coco/val2014/x.jpg
    Roots({"coco": "/data/coco", "": "/data/rest"})        coco/val2014/x.jpg -> /data/coco/val2014/x.jpg

With several roots the longest matching prefix wins and is replaced by its root; the prefix "" takes what is left over.
A path without any root is a missing image (a run without the 500 GB of landmark pictures is a normal run). A path that
leaves its root is an attack or a damaged record, so it is refused.

>>> Roots({"coco": "/data/coco"}).resolve("coco/val2014/x.jpg").as_posix()
'/data/coco/val2014/x.jpg'
>>> Roots({"coco": "/data/coco"}).resolve("AToMiC/y.jpg") is None
True
"""

import re
from collections.abc import Mapping
from pathlib import Path

# What can make a path leave its folder: a leading slash or drive letter, a part "..", a backslash (a separator on
# Windows, and in no published path), a NUL or another control character.
SUSPICIOUS = re.compile(r"^/|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)|[\x00-\x1f\\]")


class LeavesRoot(ValueError):
    """An image path that points outside its root."""


class Roots:
    """Maps image paths to files below the configured folders."""

    def __init__(self, roots: "str | Path | Mapping[str, str | Path] | Roots | None") -> None:
        if isinstance(roots, Roots):
            self.roots: dict[str, Path] = roots.roots
            self.prefixes = roots.prefixes
            return
        if roots is None or roots == "":  # an unset path is not the current folder
            roots = {}
        elif not isinstance(roots, Mapping):
            roots = {"": roots}
        self.roots = {prefix.strip("/"): Path(root) for prefix, root in roots.items()}
        named = sorted((prefix for prefix in self.roots if prefix), key=lambda prefix: (-len(prefix), prefix))
        self.prefixes = tuple(f"{prefix}/" for prefix in named)

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
        """File of an image path, or None if no root is configured for it. The file may be missing."""
        if not self.has(image):
            return None
        for prefix in self.prefixes:
            if image.startswith(prefix):
                return self._inside(self.roots[prefix[:-1]], image[len(prefix) :])
        return self._inside(self.roots[""], image)

    @staticmethod
    def _inside(root: Path, rest: str) -> Path:
        """`root / rest`, after following links: a link inside the folder may not lead out of it either."""
        file = root / rest
        if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
            raise LeavesRoot(f"{file} is a link that leads out of {root}. Replace the link by the file.")
        return file
