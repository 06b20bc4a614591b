"""What a caption CSV asks of a captioner, told from the CSV and the folder of pictures alone, while a run is planned.

Captioning again costs hours, so a change in the CSV that leaves its (image, query) pairs alone, such as a corrected
word in a reference, must not cause it. Light: the Snakefile calls this.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from retcap import plugins
from retcap.records import Rejected

UNREADABLE = "unreadable"  # the job that reads the file says what is wrong with it


def asked(
    csvs: Sequence[str],
    dataset: str,
    columns: Mapping[str, str],
    images_root: str | None,
    settings: Mapping[str, Any],
) -> str:
    """12 hex digits over the pairs that have a caption, their pictures, and settings that shape what a model sees.

    The order of the pairs counts where `settings` has a `limit`: it decides which of them are the first.
    """
    found = [_pairs(csv, dataset, tuple(columns.items()), _state(Path(csv))) for csv in csvs]
    pairs = [one if settings.get("limit") else sorted(one) for one in found if one is not None]
    if len(pairs) < len(csvs):
        return UNREADABLE
    return _digest([pairs, pictures(csvs, dataset, columns, images_root), settings])


def pictures(csvs: Sequence[str], dataset: str, columns: Mapping[str, str], images_root: str | None) -> str:
    """12 hex digits over the pictures that the CSVs name: which of them are there, and how large their files are.

    Not when they were written: a copy of a data set is the same data set.
    """
    plugin, sizes = plugins.load("datasets", dataset), []
    for csv in csvs:
        pairs = _pairs(csv, dataset, tuple(columns.items()), _state(Path(csv)))
        if pairs is None:
            return UNREADABLE
        root = Path(csv).parent if images_root is None else Path(images_root)
        sizes += [[url, _size(plugin, url, root)] for url in sorted({url for url, _ in pairs})]
    return _digest(sizes)


@cache
def _pairs(csv: str, dataset: str, columns: tuple[tuple[str, str], ...], _: Any) -> tuple[tuple[str, str], ...] | None:
    """(image, query) of every row with a caption, each once; None where the file cannot be read."""
    try:
        rows: Iterable[Any] = plugins.load("datasets", dataset).rows(Path(csv), **dict(columns))
        pairs = ((row.url, row.query) for row in rows if not isinstance(row, Rejected) and row.caption)
        return tuple(dict.fromkeys(pairs))
    except (OSError, ValueError):
        return None


def _state(file: Path) -> tuple[int, int] | None:
    try:
        return file.stat().st_size, file.stat().st_mtime_ns
    except OSError:
        return None


def _size(plugin: ModuleType, url: str, root: Path) -> int | None:
    try:
        return plugin.locate(url, root).stat().st_size
    except (OSError, ValueError):  # not there, or outside the folder
        return None


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode(errors="surrogatepass")).hexdigest()[:12]
