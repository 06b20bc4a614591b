"""Features of one set by one encoder, computed once and kept in a folder that all scores are made from:

    items.parquet     one row per picture in the order of the vectors: split, name, group, label, captions, hashes
    images.npy        unit vectors of the pictures, float32
    prompts.npy       unit vectors of the prompts, class by class: the bare name, then every template
    captions.npy      unit vectors of the distinct captions, in the order of `captions.json`
    about.json        classes, templates, metric, warnings; encoder and its cost; counts
    quarantine.jsonl  pictures and labels that cannot be used, with the reason

Pictures are decoded by threads while the encoder works; never more than two batches are in memory.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.features import prompts as prompting
from retcap.features.encoders import Clock, Encoder
from retcap.features.image_sets import Item, Labels, Plugin, templates, tested
from retcap.files import jsonl
from retcap.pictures import perceptual, pixels
from retcap.records import Rejected

BATCH = 1024  # pictures decoded before they are encoded
ITEMS = pa.schema(
    [(name, pa.string()) for name in ("split", "name", "group")]
    + [("label", pa.int64()), ("captions", pa.list_(pa.string())), ("sha256", pa.string()), ("phash", pa.uint64())]
)


class Features(NamedTuple):
    """A folder of features, read back. `items`: columns by name; the vectors are memory-mapped."""

    items: dict[str, Any]
    images: np.ndarray
    prompts: np.ndarray | None  # C T E
    captions: dict[str, np.ndarray]
    about: dict[str, Any]

    def rows(self, split: str) -> np.ndarray:
        """Places of the pictures of a split."""
        return np.flatnonzero(self.items["split"] == split)


class _Seen(NamedTuple):
    item: Item
    split: str
    picture: np.ndarray | None
    sha256: str
    phash: int
    rejected: Rejected | None


def embed(
    folder: Path,
    plugin: Plugin,
    source: Path | None,
    encoder: Encoder,
    *,
    threads: int,
    own: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the features of a set; gives what `about.json` says. ValueError where no picture can be used.

    `own`: what the user says of the set, None for its own: templates, metric, training pictures read per class.
    """
    if source is not None and not source.is_dir():
        raise FileNotFoundError(f"No folder {source} (seen from {Path.cwd()}). Fetch the set, or leave it out.")
    labels, splits = plugin.labels(source), plugin.splits(source)
    chosen = {name: value for name, value in (own or {}).items() if value is not None}
    if chosen.get("templates"):
        chosen["templates"] = templates(chosen["templates"], "transfer.sets")
    most = chosen.pop("train_per_class", None)
    labels = labels._replace(**chosen)
    wanted = [split for split in ("train", "valid") if split in splits] + tested(splits)
    if "test" not in wanted:
        raise ValueError(f"{source}: there is no split `test` (found: {', '.join(splits) or 'none'}).")
    folder.mkdir(parents=True)
    clock, vectors, rows, rejected = Clock(), [], [], []
    with ThreadPoolExecutor(threads) as pool:
        for seen in _batches(pool, plugin, source, wanted, encoder, len(labels.classes), most):
            rejected += [one.rejected for one in seen if one.rejected is not None]
            pictures = [one.picture for one in seen if one.picture is not None]
            if pictures:
                vectors.append(clock.timed(encoder, np.stack(pictures)))
                rows += [_row(one) for one in seen if one.picture is not None]
    if not rows:
        raise ValueError(f"{source}: none of {len(rejected)} pictures can be used; the first: {rejected[0].detail}")
    jsonl.write(folder / "quarantine.jsonl", rejected)
    pq.write_table(pa.Table.from_pylist(rows, ITEMS), folder / "items.parquet")
    np.save(folder / "images.npy", np.concatenate(vectors).astype(np.float32))
    about = _about(labels, encoder, clock, rows, rejected, None if source is None else str(source))
    _write_texts(folder, labels, encoder, rows)
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


def read(folder: Path) -> Features:
    """The features of a folder that `embed` wrote."""
    table = pq.read_table(folder / "items.parquet")
    items: dict[str, Any] = {
        name: table[name].to_numpy(zero_copy_only=False)
        for name in table.column_names
        if name not in ("captions", "label")
    }
    items["label"] = table["label"].fill_null(-1).to_numpy()
    items["captions"] = table["captions"].to_pylist()
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    prompts, texts = folder / "prompts.npy", folder / "captions.npy"
    known = json.loads((folder / "captions.json").read_text(encoding="utf-8")) if texts.is_file() else []
    return Features(
        items,
        np.load(folder / "images.npy", mmap_mode="r"),
        np.load(prompts).reshape(len(about["classes"]), 1 + len(about["templates"]), -1) if prompts.is_file() else None,
        dict(zip(known, np.load(texts), strict=True)) if known else {},
        about,
    )


def _batches(
    pool: ThreadPoolExecutor,
    plugin: Plugin,
    source: Path | None,
    splits: Sequence[str],
    encoder: Encoder,
    classes: int,
    most: int | None,
) -> Iterator[list[_Seen]]:
    """Pictures of all splits; while the caller has one batch, threads decode the next."""
    mode: Any = encoder.resize
    resize = pixels.Resize(mode, encoder.side_px, encoder.side_px)
    pending: Iterator[_Seen] | None = None
    for split in splits:
        see = partial(_see, split=split, resize=resize, classes=classes, source=source)
        items = plugin.items(source, split)
        found = items if most is None or split != "train" else _first(items, most)
        while batch := list(islice(found, BATCH)):
            following = pool.map(see, batch)  # they start now
            if pending is not None:
                yield list(pending)
            pending = following
    if pending is not None:
        yield list(pending)


def _first(items: Iterator[Item], most: int) -> Iterator[Item]:
    """The first pictures of every class."""
    seen: Counter[int | None] = Counter()
    for item in items:
        seen[item.label] += 1
        if seen[item.label] <= most:
            yield item


def _see(item: Item, split: str, resize: pixels.Resize, classes: int, source: Path | None) -> _Seen:
    """A picture decoded, or the reason why it cannot be used."""
    wrong = partial(Rejected, file=f"{source or ''}/{split}/{item.name}", line=0, record=item.name[:500])
    if item.label is None and not item.captions:
        return _Seen(item, split, None, "", 0, wrong(reason="no_label", detail="neither a label nor a caption"))
    if item.label is not None and not 0 <= item.label < classes:
        detail = f"label {item.label}, and classes are numbered 0 to {classes - 1}"
        return _Seen(item, split, None, "", 0, wrong(reason="unknown_class", detail=detail))
    try:
        picture = pixels.decode(item.picture, resize)[0]
    except pixels.BadImage as error:
        return _Seen(item, split, None, "", 0, wrong(reason=error.reason, detail=error.detail))
    key = hashlib.sha256(item.picture).hexdigest()
    return _Seen(item, split, picture, key, int(perceptual.phash_picture(picture)), None)


def _row(seen: _Seen) -> dict[str, Any]:
    own = seen.item._asdict()
    del own["picture"]
    return {
        **own,
        "split": seen.split,
        "captions": list(seen.item.captions),
        "sha256": seen.sha256,
        "phash": seen.phash,
    }


def _write_texts(folder: Path, labels: Labels, encoder: Encoder, rows: Sequence[dict[str, Any]]) -> None:
    prompts = (
        encoder.texts(prompting.prompts(labels.classes, [prompting.NAME, *labels.templates]))
        if labels.classes
        else None
    )
    if prompts is not None:
        np.save(folder / "prompts.npy", prompts)
    captions = sorted({text for row in rows for text in row["captions"]})
    vectors = encoder.texts(captions) if captions else None
    if vectors is not None:
        np.save(folder / "captions.npy", vectors)
        (folder / "captions.json").write_text(json.dumps(captions), encoding="utf-8")


def _about(
    labels: Labels,
    encoder: Encoder,
    clock: Clock,
    rows: Sequence[Any],
    rejected: Sequence[Rejected],
    source: str | None,
) -> dict[str, Any]:
    return {
        **labels._asdict(),
        **encoder.about(),
        "folder": source,
        "pictures": dict(Counter(row["split"] for row in rows)),
        "rejected": dict(Counter(one.reason for one in rejected)),
        "images_per_second": clock.items / clock.seconds if clock.seconds else None,
    }
