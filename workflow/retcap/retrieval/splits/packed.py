"""Query pictures by content, from the image pack: no original file is read for an audit.

Paths and contents are hashes of eight bytes each, so a million pictures take about 40 MB.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from retcap.pictures.images import ImagePack
from retcap.pictures.perceptual import NO_HASH, phash_picture
from retcap.retrieval.m2kr.tables import batches
from retcap.retrieval.splits.hashing import hashes


class PackedPictures(NamedTuple):
    """What a pack says about paths: sorted hashes of the paths that were packed, and of each one's content."""

    folder: Path
    paths: np.ndarray
    contents: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> "PackedPictures":
        """Read the pack's table of paths."""
        paths, contents = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
        for batch in batches(folder / "paths.parquet", ["path", "key"]):
            found = batch.filter(batch.column("key").is_valid())
            paths.append(hashes(found.column("path").to_pylist()))
            contents.append(content_hashes(found.column("key").to_pylist()))
        together = np.concatenate(paths)
        order = np.argsort(together)
        return cls(folder, together[order], np.concatenate(contents)[order])

    def of(self, paths: np.ndarray) -> np.ndarray:
        """Distinct contents of the paths (given as hashes) that are in the pack, sorted."""
        return np.unique(self.contents[np.searchsorted(self.paths, self.packed(paths))])

    def packed(self, paths: np.ndarray) -> np.ndarray:
        """Those of the distinct paths that are in the pack."""
        return np.intersect1d(paths, self.paths, assume_unique=True)

    def paths_of(self, contents: np.ndarray) -> np.ndarray:
        """Hashes of all paths with one of the contents."""
        return self.paths[np.isin(self.contents, contents)]

    def fingerprints(self, contents: np.ndarray) -> np.ndarray:
        """Perceptual hash of every content (distinct and sorted), uint64; NO_HASH where a picture is flat."""
        pack, found = ImagePack(self.folder), np.full(len(contents), NO_HASH)
        for batch in batches(self.folder / "index.parquet", ["key"]):
            keys = batch.column("key").to_pylist()
            names = content_hashes(keys)
            at = np.searchsorted(contents, names)
            for row in np.flatnonzero(np.append(contents, NO_HASH)[at] == names):
                found[at[row]] = phash_picture(pack[keys[row]])
        return found


def content_hashes(keys: list[str]) -> np.ndarray:
    """The first eight bytes of SHA-256 keys in hexadecimal, as uint64."""
    return np.fromiter((int(key[:16], 16) for key in keys), np.uint64, count=len(keys))
