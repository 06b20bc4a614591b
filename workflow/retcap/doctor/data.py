"""Rows and pictures of the caption CSVs. That the files are there the configuration has checked itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retcap import plugins
from retcap.config import shared
from retcap.doctor.findings import Finding, bad, good, note
from retcap.records import Rejected

SHAPES_RESULTS = False  # see retcap.reruns.digest


def data(config: dict[str, Any]) -> Iterator[Finding]:
    """Findings per caption CSV of the user's own."""
    if "captioning" not in config["studies"]:
        return
    own = config["captioning"]
    for key, path in _files(own):
        if shared.is_made(path, config):
            yield good(f"captioning.{key}: drawn by the run")
        else:
            yield _csv(key, Path(path), own)


def _files(own: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("csv", "train_csv"):
        paths = own[key] or []
        yield from ((key, path) for path in ([paths] if isinstance(paths, str) else paths))


def _csv(key: str, path: Path, own: dict[str, Any]) -> Finding:
    plugin = plugins.load("datasets", own["dataset"])
    try:
        rows = list(plugin.rows(path, **own["columns"]))
    except (OSError, ValueError) as error:
        return bad(f"captioning.{key}: {path} cannot be read: {error}", "See captioning.columns in config/README.md.")
    good_rows = [row for row in rows if not isinstance(row, Rejected)]
    urls = sorted({row.url for row in good_rows})
    counted = f"captioning.{key}: {path}, {len(rows)} rows"
    if not good_rows:
        return bad(f"{counted}, none of which can be used.", "Compare its columns with captioning.columns.")
    root = path.parent if own["images_root"] is None else Path(own["images_root"])
    lost = [url for url in urls if not _is_there(plugin, url, root)]
    if not lost:
        return good(f"{counted}, {len(urls)} pictures, all there")
    remedy = "Set captioning.images_root to the folder that the paths start from; missing pairs go to the quarantine."
    if own["download_to"] and all("://" in url for url in lost):
        return good(f"{counted}, {len(urls)} pictures, {len(lost)} of which the run will fetch")
    text = f"{counted}: {len(lost)} of {len(urls)} pictures are not there, such as {lost[0]}."
    return note(text, remedy) if len(lost) < len(urls) else bad(text, remedy)


def _is_there(plugin: Any, url: str, root: Path) -> bool:
    try:
        return plugin.locate(url, root).is_file()
    except (OSError, ValueError):
        return False
