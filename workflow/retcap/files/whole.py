"""Files and folders that are there complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, several: bool = False) -> Iterator[Path]:
    """A neighbouring path to write to; it takes the place of `path` when the block ends without an error.

    `several`: other processes may write the same file at the same time. Else what a killed one left is written over.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = f"writing-{os.getpid()}" if several else "writing"
    partial = path.with_name(f".{path.stem}.{state}{path.suffix}")  # keeps the suffix: writers choose formats by it
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """The same for a folder, which the block makes. One that is in its place goes when the new one is complete."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (folder.with_name(f".{folder.name}.{state}") for state in ("writing", "old"))
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        yield partial
        if folder.exists():  # a full folder cannot be replaced
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)
