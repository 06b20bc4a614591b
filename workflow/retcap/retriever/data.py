"""Training rows: (query, one of its positives), read through memory maps, so memory does not grow with the data.

`prepare` turns the `queries.parquet` and `passages.parquet` of each set once into arrays that can be mapped: token ids,
image keys, and the passages of every query. Which positive a row takes depends on (seed, epoch, row, copy) only: not on
the worker, the rank, the batch or the rows drawn before.
"""

import json
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
from torch.utils.data import Dataset

from retcap.contrastive.sampler import Key, draw
from retcap.features import tokens
from retcap.features.collator import image_of
from retcap.files.whole import replacing_folder
from retcap.pictures.images import ImagePack

log = logging.getLogger(__name__)
UNKNOWN_LIMIT = 0.1  # share of positives known by id alone, above which a corpus file must be missing
ROWS_AT_ONCE = 65_536
PROBE = "Using the provided image, obtain documents: 12,345 naïve parks' names?"  # tells tokenizers apart


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training set: its files, its image pack (None: text only) and how often an epoch shows it."""

    name: str
    queries: str
    passages: str
    pack: str | None = None
    weight: float = 1.0


class Prepared:
    """One training set as `prepare` left it: token tables, and row i's positives as places in the passage table."""

    def __init__(self, folder: Path, pack: str | None):
        self.queries = tokens.TokenTable.open(folder / "queries")
        self.passages = tokens.TokenTable.open(folder / "passages")
        self.rows, self.starts, self.positives, self.codes = (
            tokens.mapped(folder / f"{name}.npy") for name in ("rows", "starts", "positives", "codes")
        )
        self.pack = ImagePack(pack) if pack else None
        self._made_of = folder, pack

    def __len__(self) -> int:
        return len(self.rows)

    def positives_of(self, row: int) -> np.ndarray:
        """Places in the passage table of the positives of training row `row`."""
        return self.positives[self.starts[row] : self.starts[row + 1]]

    def item(self, table: tokens.TokenTable, row: int) -> tuple[np.ndarray, bool, np.ndarray | None]:
        """Token ids, text mask, image or None."""
        ids, has_text, key = table[row]
        return ids, has_text, image_of(self.pack, key)

    def __reduce__(self) -> tuple[Any, ...]:
        return Prepared, self._made_of


class TrainingRows(Dataset):
    """All sets, one after another. A key (epoch, row, copy) gives a query with one positive, drawn from it alone."""

    def __init__(self, sets: list[Prepared], seed: int):
        self.sets, self.seed = sets, seed
        self._ends = np.cumsum([len(part) for part in sets])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, row, copy = key
        number = int(np.searchsorted(self._ends, row, side="right"))
        part = self.sets[number]
        local = row - (int(self._ends[number]) - len(part))
        positives = part.positives_of(local)
        passage = int(positives[draw(self.seed, epoch, row, copy, len(positives))])
        return {
            "query": part.item(part.queries, int(part.rows[local])),
            "passage": part.item(part.passages, passage),
            "code": int(part.codes[passage]),
            "positives": part.codes[positives],
        }


def prepare(
    sources: list[Source], folder: Path, tokenizer: Any, workers: int = 1
) -> tuple[list[Prepared], dict[str, dict[str, int]]]:
    """Write the memory-mapped form of all sets to `folder` (unless it is there already) and open it; counts per set.

    Left out and counted: positives that have neither text nor image (they would teach the model a constant), and
    queries whose positives are all of that kind. A positive that is in no passage file is an error.
    """
    codes: dict[str, int] = {}  # the same id in two sets is the same passage, as in ReT's joint training

    def make(partial: Path) -> dict[str, dict[str, int]]:
        return {
            source.name: _prepare_one(source, partial / source.name, tokenizer, codes, workers) for source in sources
        }

    stamps = [stamp(tokenizer, source.pack, source.queries, source.passages) for source in sources]
    counts = kept(folder, json.dumps([[source.name for source in sources], stamps]), make)
    return [Prepared(folder / source.name, source.pack) for source in sources], counts


def kept(folder: Path, mark: str, make: Callable[[Path], Any]) -> Any:
    """What `make` returned when it filled the folder; called unless the folder is there, complete, for this mark."""
    about = folder / "about.json"
    if not about.is_file() or json.loads(about.read_text())["mark"] != mark:
        shutil.rmtree(folder, ignore_errors=True)  # before the new one needs its room
        with replacing_folder(folder) as partial:
            partial.mkdir()
            (partial / "about.json").write_text(json.dumps({"mark": mark, "made": make(partial)}))
    return json.loads(about.read_text())["made"]


def stamp(tokenizer: Any, pack: str | None, *files: str) -> str:
    """Tells whether prepared data still fit: sizes and times of the files and the pack, a probe of the tokenizer."""
    paths = [*files, *([str(Path(pack) / "paths.parquet")] if pack else [])]
    status = [[path, os.stat(path).st_size, os.stat(path).st_mtime_ns] for path in paths]
    return json.dumps([status, tokenizer([PROBE, ""]).input_ids.tolist(), tokenizer.context_length])


def _prepare_one(source: Source, folder: Path, tokenizer: Any, codes: dict[str, int], workers: int) -> dict[str, int]:
    started = time.perf_counter()
    folder.mkdir()
    keys = tokens.image_keys(source.pack)
    ids: list[str] = []

    def passages() -> Iterator[tokens.Batch]:
        for batch in tokens.read(source.passages, "passage", keys):
            ids.extend(batch.ids)
            yield batch

    table = tokens.TokenTable.write(folder / "passages", tokens.tokenise(passages(), tokenizer, workers))
    queries = tokens.read(source.queries, "query", keys)
    tokens.TokenTable.write(folder / "queries", tokens.tokenise(queries, tokenizer, workers))
    place = {passage: row for row, passage in reversed(list(enumerate(ids)))}  # of repeated ids the first row counts
    np.save(folder / "codes.npy", np.array([codes.setdefault(passage, len(codes)) for passage in ids], np.int32))
    counts = _join(source, folder, place, empty=~table.has_text & (table.keys == tokens.NO_KEY))
    log.info("%s: %s, prepared in %.1f s", source.name, counts, time.perf_counter() - started)
    return counts


def _join(source: Source, folder: Path, place: dict[str, int], empty: np.ndarray) -> dict[str, int]:
    """Write the arrays that lead from a training row to its query row and its positives.

    A positive that is nothing but an id (InfoSeek has such) cannot be trained on: it is left out and counted, and so is
    a row without any other. Many of them mean that a corpus file is missing.
    """
    rows, lengths, positives = [], [], []
    counts = Counter(rows=0, passages=len(empty), empty_positives=0, unknown_positives=0, rows_without_positive=0)
    at, named, first = 0, 0, ""
    for batch in pq.ParquetFile(source.queries).iter_batches(ROWS_AT_ONCE, columns=["query_id", "positives"]):
        for query, wanted in zip(batch["query_id"].to_pylist(), batch["positives"].to_pylist(), strict=True):
            if not wanted:
                raise ValueError(f"{source.queries}: query {query!r} (row {at}) has no positive passage id.")
            unknown = [passage for passage in wanted if passage not in place]
            first = first or (f"{unknown[0]!r} of query {query!r} (row {at})" if unknown else "")
            found = dict.fromkeys(place[passage] for passage in wanted if passage in place)
            usable = [passage for passage in found if not empty[passage]]
            named += len(wanted)
            counts["unknown_positives"] += len(unknown)
            counts["empty_positives"] += len(found) - len(usable)
            counts["rows_without_positive"] += not usable
            if usable:
                rows.append(at)
                lengths.append(len(usable))
                positives += usable
            at += 1
    if counts["unknown_positives"] > UNKNOWN_LIMIT * named:
        raise ValueError(
            f"{source.queries}: {counts['unknown_positives']} of {named} positives are not in {source.passages}, the "
            f"first is {first}. Name the corpus of the training queries in `train_passages`."
        )
    counts["rows"] = len(rows)
    if not rows:
        raise ValueError(f"{source.queries}: no row to train on ({dict(counts)}).")
    np.save(folder / "rows.npy", np.array(rows, np.int64))
    np.save(folder / "starts.npy", np.concatenate([[0], np.cumsum(lengths)]))
    np.save(folder / "positives.npy", np.array(positives, np.int32))
    return dict(counts)
