"""The pictures that a data set names: their paths, their files, and which of them may be read."""

from collections.abc import Callable, Iterator, Mapping
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from retcap.pictures.pixels import BadImage
from retcap.retrieval.m2kr.roots import LeavesRoot, Roots
from retcap.retrieval.m2kr.tables import batches
from retcap.retrieval.splits.hashing import hashes


def picture_files(folder: Path, roots: Any) -> Iterator[tuple[str, Path]]:
    """Every distinct picture that any split names, by first appearance: path in the data, file (it may be missing).

    The published validation split counts too: the audit compares its pictures. The tables are read twice, first for
    hashes of eight bytes that tell repeated paths: a set of a million paths would take some hundred megabytes.
    """
    splits = [folder / split for split in ("train", "valid", "test", "published_valid")]
    named = [split / f"{table}.parquet" for split in splits for table in ("queries", "passages")]
    tables = [table for table in named if table.is_file()]
    found = [hashes(paths) for table in tables for paths in named_images(table)]
    every = np.concatenate([np.zeros(0, np.uint64), *found])
    first = np.zeros(len(every), bool)
    first[np.unique(every, return_index=True)[1]] = True
    resolver, start = Roots(roots), 0
    for table in tables:
        for paths in named_images(table):
            here = first[start : start + len(paths)]
            start += len(paths)
            for path in compress(paths, here.tolist()):
                if (file := resolver.resolve(path)) is not None:
                    yield path, file


def named_images(table: Path) -> Iterator[list[str]]:
    """Paths in the column `image` of a table, a batch at a time, nulls left out."""
    for batch in batches(table, ["image"]):
        yield batch.column(0).drop_null().to_pylist()


def inside(roots: str | Mapping[str, str]) -> Callable[[Path], None]:
    """A check of files for `images.build`: BadImage `path_leaves_root` where a folder on the way leaves the roots."""
    resolver = Roots(roots)

    def check(file: Path) -> None:
        try:
            resolver.check(file)
        except LeavesRoot as error:
            raise BadImage("path_leaves_root", str(error)) from None

    return check
