"""Queries and passages as token ids: read from Parquet, tokenised once, kept in arrays that can be memory-mapped.

A training run shows each text many times and an evaluation each corpus again and again; tokenising them once leaves
only padding to do per batch. Letters: B rows of a batch, T tokens of its longest text.
"""

import logging
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from retcap.files.arrays import mapped
from retcap.parallel import in_order
from retcap.pictures.images import read_paths

log = logging.getLogger(__name__)
Side = Literal["query", "passage"]
TEXT_COLUMNS = {"query": ("instruction", "question"), "passage": ("text",)}
ID_COLUMN = {"query": "query_id", "passage": "passage_id"}
CHUNK = 4_096  # texts tokenised at once
CHARACTERS_PER_TOKEN = 7  # a text is first tried by this many characters per token; English has 4 to 5
NO_KEY = b""


class Batch(NamedTuple):
    """Some rows of a queries or passages file. Text, key: None where there is none, or the image is not packed."""

    rows: list[int]
    ids: list[str]
    texts: list[str | None]
    keys: list[str | None]


class Chunk(NamedTuple):
    """Tokens of some texts one after another, and per row their number, whether there was a text, and the image key."""

    tokens: np.ndarray
    lengths: np.ndarray
    has_text: np.ndarray
    keys: np.ndarray


def joined(*parts: str | None) -> str | None:
    """The non-empty parts, stripped and joined by one blank; None if nothing is left.

    >>> joined("Find documents: ", None), joined(" ", ""), joined("Find: ", " a park ")
    ('Find documents:', None, 'Find: a park')
    """
    return " ".join(part.strip() for part in parts if part and part.strip()) or None


def image_keys(pack: Path | str | None) -> dict[str, str]:
    """Image path -> key for every path that was packed."""
    if pack is None:
        return {}
    paths = read_paths(Path(pack))
    return {path: key for path, key in zip(paths["path"].to_pylist(), paths["key"].to_pylist(), strict=True) if key}


def image_numbers(file: Path | str, keys: dict[str, str]) -> np.ndarray:
    """Number of the picture of every row of a file, int64 by first appearance; -1 where there is none."""
    numbers: dict[str | None, int] = {None: -1}
    parts = [np.empty(0, np.int64)]
    for batch in pq.ParquetFile(file).iter_batches(columns=["image"]):
        found = [keys.get(path) for path in batch.column(0).to_pylist()]
        parts.append(np.array([numbers.setdefault(key, len(numbers) - 1) for key in found], np.int64))
    return np.concatenate(parts)


def read(file: Path | str, side: Side, keys: dict[str, str], rows: np.ndarray | range | None = None) -> Iterator[Batch]:
    """Rows (ascending; by default all) of a queries or passages file in batches; others are skipped."""
    parquet = pq.ParquetFile(file)
    columns = [ID_COLUMN[side], *TEXT_COLUMNS[side], "image"]
    if missing := [name for name in columns if name not in parquet.schema_arrow.names]:
        raise ValueError(f"{file}: no column {', '.join(missing)}. A {side} file has {', '.join(columns)}.")
    first = 0
    wanted = np.arange(parquet.metadata.num_rows) if rows is None else np.asarray(rows, np.int64)
    for group in range(parquet.num_row_groups):
        size = parquet.metadata.row_group(group).num_rows
        low, high = np.searchsorted(wanted, [first, first + size])
        here = wanted[low:high]
        if len(here):
            table = parquet.read_row_group(group, columns=columns)
            table = table if len(here) == size else table.take(here - first)
            ids = table[ID_COLUMN[side]].to_pylist()
            if None in ids:
                raise ValueError(f"{file}: row {here[ids.index(None)]} has no {ID_COLUMN[side]}; every row needs one.")
            parts = [table[name].to_pylist() for name in TEXT_COLUMNS[side]]
            texts = [joined(*values) for values in zip(*parts, strict=True)]
            yield Batch(here.tolist(), ids, texts, [keys.get(path) for path in table["image"].to_pylist()])
        first += size


def tokenise(batches: Iterable[Batch], tokenizer: Any, workers: int = 1) -> Iterator[Chunk]:
    """Chunks of at most CHUNK rows, made by `workers` processes. No text gives the tokens of the empty text."""
    pieces = (
        (batch.texts[start : start + CHUNK], batch.keys[start : start + CHUNK])
        for batch in batches
        for start in range(0, len(batch.texts), CHUNK)
    )
    if workers <= 1:
        yield from (_chunk(tokenizer, piece) for piece in pieces)
        return
    # forked, so that the tokenizer need not be pickled
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
        yield from in_order(pool, partial(_chunk, tokenizer), pieces, window=2 * workers)


def _chunk(tokenizer: Any, piece: tuple[list[str | None], list[str | None]]) -> Chunk:
    texts, keys = piece
    rows = _ids([text or "" for text in texts], tokenizer)
    return Chunk(
        tokens=np.concatenate(rows),
        lengths=np.array([len(row) for row in rows], np.int64),
        has_text=np.array([text is not None for text in texts]),
        keys=np.array([key or "" for key in keys], "S64"),
    )


def _ids(texts: list[str], tokenizer: Any) -> list[np.ndarray]:
    """Token ids per text, cut at the context length. Of long texts only the head is read, which changes nothing:

    the head ends at white space, where no token crosses, so if it alone fills the context, the whole text begins alike.
    """
    limit = tokenizer.context_length * CHARACTERS_PER_TOKEN
    heads = [text if len(text) <= limit else _head(text, limit) for text in texts]
    rows = _encode(heads, tokenizer)
    short = [
        at for at, row in enumerate(rows) if len(row) < tokenizer.context_length and len(heads[at]) < len(texts[at])
    ]
    if short:
        for at, row in zip(short, _encode([texts[at] for at in short], tokenizer), strict=True):
            rows[at] = row
    return rows


def _head(text: str, limit: int) -> str:
    head = text[:limit].rsplit(maxsplit=1)
    return head[0] if len(head) == 2 else text


def _encode(texts: list[str], tokenizer: Any) -> list[np.ndarray]:
    input_ids, attention_mask = tokenizer(texts)
    lengths = attention_mask.sum(dim=1).tolist()
    return [row[:length] for row, length in zip(input_ids.numpy().astype(np.int32), lengths, strict=True)]


def padding_id(tokenizer: Any) -> int:
    """The id that this tokenizer fills short texts up with."""
    input_ids, attention_mask = tokenizer(["a", "a b c d e f g h"])
    assert attention_mask[0, -1] == 0, "the tokenizer must pad on the right, to the longest text"
    return int(input_ids[0, -1])


class TokenTable:
    """Token ids, text mask and image key of every row. Pickles as its folder if it has one."""

    def __init__(self, tokens: np.ndarray, starts: np.ndarray, has_text: np.ndarray, keys: np.ndarray):
        self.tokens, self.starts, self.has_text, self.keys = tokens, starts, has_text, keys
        self.folder: Path | None = None

    @classmethod
    def from_chunks(cls, chunks: Iterator[Chunk]) -> "TokenTable":
        """In memory: about 300 bytes per full text."""
        parts = list(chunks)
        empty = Chunk(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, bool), np.empty(0, "S64"))
        tokens, lengths, has_text, keys = (np.concatenate(arrays) for arrays in zip(empty, *parts, strict=True))
        return cls(tokens, _starts(lengths), has_text, keys)

    @classmethod
    def write(cls, folder: Path, chunks: Iterator[Chunk]) -> "TokenTable":
        """To files, chunk by chunk, and opened from there."""
        folder.mkdir(parents=True)
        lengths, has_text = [], []
        with open(folder / "tokens.bin", "wb") as tokens, open(folder / "keys.bin", "wb") as keys:
            for chunk in chunks:
                chunk.tokens.tofile(tokens)
                chunk.keys.tofile(keys)
                lengths.append(chunk.lengths)
                has_text.append(chunk.has_text)
        np.save(folder / "starts.npy", _starts(np.concatenate([np.empty(0, np.int64), *lengths])))
        np.save(folder / "has_text.npy", np.concatenate([np.empty(0, bool), *has_text]))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "TokenTable":
        """Memory-mapped; nothing is read until a row is asked for."""
        starts, has_text = (mapped(folder / f"{name}.npy") for name in ("starts", "has_text"))
        table = cls(mapped(folder / "tokens.bin", np.int32), starts, has_text, mapped(folder / "keys.bin", "S64"))
        table.folder = folder
        return table

    def __len__(self) -> int:
        return len(self.has_text)

    def __getitem__(self, row: int | np.integer) -> tuple[np.ndarray, bool, str | None]:
        tokens = self.tokens[self.starts[row] : self.starts[row + 1]]
        return tokens, bool(self.has_text[row]), self.keys[row].decode() or None

    def lengths(self) -> np.ndarray:
        """Number of tokens of every row."""
        return np.diff(self.starts)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder is not None:
            return TokenTable.open, (self.folder,)
        return TokenTable, (self.tokens, self.starts, self.has_text, self.keys)


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
