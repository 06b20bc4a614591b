"""From a caption CSV to what is captioned and scored: (image, query) pairs with all their references, and their images.

The pair, not the CSV row, is the item: QuIC-360 repeats each pair about five times, once per reference, so scoring rows
would generate the same caption five times and compare it with one reference at a time.
Nothing is lost silently: every row gives one reference or stands in the quarantine, once, with file, line and reason,
and the coverage says which part of the data set the scores stand for.
"""

import hashlib
import logging
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from retcap import plugins
from retcap.captions import files, reading
from retcap.captions.clean import clean_reference
from retcap.captions.reading import Reading, counts
from retcap.files import jsonl
from retcap.pictures import images
from retcap.pictures.pixels import Resize
from retcap.records import Rejected

log = logging.getLogger(__name__)
Lost = dict[str, tuple[str, str]]  # image as in the CSV -> reason, detail


class NotLocal(ValueError):
    """An image given by http address that is not on this machine."""


@dataclass(frozen=True)
class Outputs:
    """Where `prepare` writes; anything with these attributes will do."""

    items: Path
    requests: Path
    rows: Path
    images: Path  # a folder
    quarantine: Path
    coverage: Path


@dataclass(frozen=True)
class _Pair:
    image: str
    query: str
    rows: list  # of the plugin's Row, in file order

    def with_caption(self) -> list:
        """The rows that give a reference each. Repeated captions stay: published figures count them, and dropping them
        would change every score slightly."""
        return [row for row in self.rows if row.caption is not None]


def item_id(image: str, query: str) -> str:
    """Stable id of a pair: the same in every copy of the data set, however many of its images survive.

    >>> item_id("images/a.jpg", "people")
    '25896e292841c732'
    """
    return hashlib.sha1(f"{image}\0{query}".encode()).hexdigest()[:16]


def prepare(
    csv: Path,
    out: Outputs,
    *,
    dataset: str = "quic360",
    columns: dict[str, str] | None = None,
    images_root: Path | None = None,
    max_width_px: int = 2048,
    max_height_px: int = 1024,
    require_images: bool = True,
    encoding: images.Encoding = "raw",
    download_to: Path | None = None,
    workers: int = 2,
) -> dict:
    """Write the outputs and return the coverage.

    `columns` maps image, query, annotation to column names. `images_root` None is the CSV's folder.
    `require_images` False keeps pairs without an image (image_key null): for baselines and metrics, not for models.
    `download_to` is a folder for pictures given by http address; None never touches the network.
    """
    csv, started = Path(csv), time.perf_counter()
    root = csv.parent if images_root is None else Path(images_root)
    plugin = plugins.load("datasets", dataset)
    found = reading.read(plugin, csv, columns)
    pairs = _pairs(found.rows)
    located, lost = _locate(plugin, list(dict.fromkeys(row.url for row in found.rows)), root, download_to)
    resize = Resize("fit", max_width_px, max_height_px)
    pack = images.build(Path(out.images), located, resize, encoding=encoding, workers=workers)
    keys = _keys(Path(out.images), lost)
    if require_images and not keys:
        raise _no_images(csv, root, lost)
    items, left_out, why = _items(csv, pairs, keys, lost if require_images else {})
    rejected = sorted([*found.rejected, *left_out], key=lambda record: record.line)
    check_balance(found, items, rejected)
    jsonl.write(out.quarantine, rejected)
    if not items:
        reasons = counts(record.reason for record in rejected)
        raise ValueError(f"{csv}: none of {len(pairs)} pairs can be used. Rows set aside: {reasons}.")
    files.write_items(out.items, items)
    files.write_requests(out.requests, items)
    files.write_rows(out.rows, _rows(found.rows, items))
    about = {"csv": csv.name, "dataset": dataset, "rows": found.records}
    coverage = about | _coverage(found, items, keys, lost, rejected) | {"pairs_lost": counts(why), "pack": pack}
    files.write_json(out.coverage, coverage)
    reading.warn(csv, rejected, found.records, "quarantine.jsonl")
    log.info("prepared %s in %.1f s: %s", csv, time.perf_counter() - started, coverage)
    return coverage


def check_balance(found: Reading, items: list[dict], rejected: list[Rejected]) -> None:
    """Every record of the file is a reference of one pair or stands in the quarantine, and none is both."""
    used = sum(len(item["references"]) for item in items)
    assert found.records == used + len(rejected), (found.records, used, len(rejected))
    assert len({record.line for record in rejected}) == len(rejected)


def _pairs(rows: list) -> list[_Pair]:
    pairs: dict[tuple[str, str], _Pair] = {}
    for row in rows:
        pairs.setdefault((row.url, row.query), _Pair(row.url, row.query, [])).rows.append(row)
    return list(pairs.values())


def _locate(
    plugin: ModuleType, urls: list[str], root: Path, download_to: Path | None
) -> tuple[list[tuple[str, Path]], Lost]:
    """(url, file) of every image that may be read, and why the others may not."""
    located, lost = [], {}
    for url in urls:
        try:
            file = plugin.locate(url, root)
            if plugin.is_address(url) and not file.is_file():
                if download_to is None:
                    raise NotLocal(f"{file} does not exist, and nothing is downloaded")
                file = download_to / f"{hashlib.sha1(url.encode()).hexdigest()[:8]}-{file.name}"
                if not file.is_file():
                    plugin.download(url, file)
            located.append((url, file))
        except NotLocal as error:
            lost[url] = ("image_not_local", str(error))
        except OSError as error:
            lost[url] = ("image_not_downloaded", f"{url}: {error}")
        except ValueError as error:
            lost[url] = ("image_outside_root", str(error))
    return located, lost


def _keys(pack: Path, lost: Lost) -> dict[str, str]:
    """Content key per image; images that the pack could not read are added to `lost`."""
    keys = {}
    for entry in images.read_paths(pack).to_pylist():
        if entry["key"]:
            keys[entry["path"]] = entry["key"]
        else:
            lost[entry["path"]] = (entry["reason"], entry["detail"])
    return keys


def _items(
    csv: Path, pairs: list[_Pair], keys: dict[str, str], lost: Lost
) -> tuple[list[dict], list[Rejected], list[str]]:
    """The pairs that can be used, the rows of the others that have a caption, and per lost pair its reason."""
    items, rejected, why = [], [], []
    for pair in pairs:
        rows = pair.with_caption()
        if not rows:  # each of its rows is set aside already, for its own empty cell
            why.append("no_reference")
        elif pair.image in lost:
            why.append(lost[pair.image][0])
            rejected += [reading.reject(csv, row, *lost[pair.image]) for row in rows]
        else:
            names = {"item_id": item_id(pair.image, pair.query), "image": pair.image, "image_key": keys.get(pair.image)}
            references = [clean_reference(row.caption) for row in rows]
            lines = [row.line for row in pair.rows]
            items.append(names | {"query": pair.query, "references": references, "rows": lines})
    return items, rejected, why


def _rows(rows: list, items: list[dict]) -> list[dict]:
    known = {(item["image"], item["query"]): item["item_id"] for item in items}
    return [
        {
            "line": row.line,
            "image": row.url,
            "query": row.query,
            "reference": row.caption,
            "item_id": known.get((row.url, row.query)),
        }
        for row in rows
    ]


def _coverage(found: Reading, items: list[dict], keys: dict[str, str], lost: Lost, rejected: list[Rejected]) -> dict:
    """What part of the data set the scores stand for. Shares are fractions of the kept pairs."""
    histogram = Counter(len(item["references"]) for item in items)
    texts = Counter((row.url, row.query, row.caption) for row in found.rows if row.caption is not None)
    return {
        "rows_kept": found.records - len(rejected),
        "rows_quarantined": len(rejected),
        "duplicate_rows": texts.total() - len(texts),
        "images": len(keys) + len(lost),
        "images_there": len(keys),
        "images_lost": counts(reason for reason, _ in lost.values()),
        "pairs": len({(row.url, row.query) for row in found.rows}),
        "pairs_kept": len(items),
        "references": sum(len(item["references"]) for item in items),
        "references_per_pair": {str(number): histogram[number] for number in sorted(histogram)},
        "single_reference_share": histogram[1] / len(items),
        "quarantined": counts(record.reason for record in rejected),
        "manifest_sha256": manifest_sha256(items),
    }


def manifest_sha256(items: list[dict]) -> str:
    """Fingerprint of what was scored: SHA-256 over the sorted lines "image, SHA-256 of its file, query"."""
    lines = sorted("\t".join((item["image"], item["image_key"] or "", item["query"])) for item in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _no_images(csv: Path, root: Path, lost: Lost) -> FileNotFoundError:
    url, (_, detail) = next(iter(lost.items()))
    return FileNotFoundError(
        f"{csv}: none of its {len(lost)} images can be used ({counts(reason for reason, _ in lost.values())}). "
        f"The first is `{url}`: {detail}. Set `captioning.images_root` to the folder that these paths start from (now: "
        f"{root}), or `captioning.require_images: false` to score baselines and captions without images."
    )
