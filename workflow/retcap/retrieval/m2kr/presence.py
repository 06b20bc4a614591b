"""Are the pictures of a data set there? Asked of the disk alone, before hours go into packing them.

Only packing tells which pictures are broken, so the screening counts once more. The reasons are those of the pack.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from retcap.retrieval.m2kr.pictures import picture_files
from retcap.retrieval.m2kr.roots import LeavesRoot, Roots
from retcap.retrieval.splits.screening import Verdicts

AT_ONCE = 1024  # pictures per task of a thread
SHOWN = 5  # folders in a message


def reason_of(file: Path, roots: Roots) -> str | None:
    """What is wrong with a picture's file as far as the disk tells; None if it is a file that may be read."""
    try:
        roots.check(file)
        found = os.stat(file)
    except LeavesRoot:
        return "path_leaves_root"
    except (FileNotFoundError, NotADirectoryError):
        return "image_missing"
    except (OSError, ValueError):
        return "image_unreadable"
    return None if stat.S_ISREG(found.st_mode) else "image_unreadable"


class Places:
    """Pictures by the first folder of their path: how many are missing of how many, and one that was looked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self.example: dict[str, str] = {}

    def add(self, path: str, file: Path | None, missing: bool) -> None:
        """Count one picture; without a file no root is configured for it."""
        top = path.partition("/")[0] if "/" in path else "."
        self.asked[top] += 1
        if missing:
            self.missing[top] += 1
            self.example.setdefault(top, f"{path}, for which no root is configured" if file is None else str(file))

    def in_words(self) -> list[str]:
        """A line per folder with missing pictures, the emptiest first."""
        worst = sorted(self.missing, key=lambda top: (-self.missing[top] / self.asked[top], top))
        lines = [
            f"{top}/: {self.missing[top]} of {self.asked[top]} are not there, such as {self.example[top]}"
            for top in worst[:SHOWN]
        ]
        return lines + ([f"and {len(worst) - SHOWN} more folders"] if len(worst) > SHOWN else [])


def look_for_all(folder: Path, roots: Any, threads: int) -> tuple[Verdicts, Places]:
    """Look for every distinct picture of the splits in a folder, in threads: a network disk takes its time."""
    resolver, places = Roots(roots), Places()

    def task(items: list[tuple[str, Path]]) -> list[str | None]:
        return [reason_of(file, resolver) for _, file in items]

    def found() -> Iterator[tuple[list[str], list[str | None]]]:
        files = picture_files(folder, resolver)
        with ThreadPoolExecutor(threads) as pool:
            while chunks := list(islice(iter(partial(list_of, files), []), 4 * threads)):
                for items, reasons in zip(chunks, pool.map(task, chunks), strict=True):
                    for (path, file), reason in zip(items, reasons, strict=True):
                        places.add(path, file, reason is not None)
                    yield [path for path, _ in items], reasons

    return Verdicts.collect(found()), places


def list_of(items: Iterator[Any]) -> list[Any]:
    """The next AT_ONCE items."""
    return list(islice(items, AT_ONCE))
