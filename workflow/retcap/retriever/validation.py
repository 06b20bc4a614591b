"""Retrieval quality during training: R@k and PR@k of every validation set, by exact search over its whole corpus.

    R@k  = mean over queries of 1[some positive id is among the first k distinct ids]
    PR@k = mean over queries of 1[the text of one of these passages contains some answer], lower-cased

PR counts text answers only and leaves out queries without any; the final scoring (`retcap.retrieval`) does more.
"""

import logging
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import torch
import torch.distributed as dist
from torch import nn

from retcap.contrastive import gather
from retcap.features import tokens
from retcap.features.encoding import Encoder, Precision
from retcap.features.vectors import Vectors
from retcap.pictures.images import ImagePack
from retcap.retriever.data import kept, stamp
from retcap.search.exact import exact_search

log = logging.getLogger(__name__)


class ValidationFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One validation set: its queries, the corpus to search and their image pack (None: text only)."""

    name: str
    queries: str
    passages: str
    pack: str | None = None


class Texts:
    """Lower-cased UTF-8 texts of a passage file, one after another in a file that is memory-mapped."""

    def __init__(self, folder: Path):
        self._starts = tokens.mapped(folder / "text_starts.npy")
        self._bytes = tokens.mapped(folder / "texts.bin", np.uint8)

    @staticmethod
    def write(folder: Path, parquet: str) -> None:
        """Make the files that the constructor opens."""
        starts = [0]
        with open(folder / "texts.bin", "wb") as stream:
            for batch in pq.ParquetFile(parquet).iter_batches(columns=["text"]):
                for text in batch["text"].to_pylist():
                    starts.append(starts[-1] + stream.write((text or "").lower().encode()))
        np.save(folder / "text_starts.npy", np.array(starts))

    def contains(self, row: int | np.integer, answers: list[bytes]) -> bool:
        """True if some answer (lower-cased UTF-8) occurs in the text; UTF-8 matches bytewise only where it should."""
        text = self._bytes[self._starts[row] : self._starts[row + 1]].tobytes()
        return any(answer in text for answer in answers)


class ValidationSet:
    """One validation set, tokenised once; its corpus is encoded and searched at every evaluation."""

    def __init__(self, files: ValidationFiles, folder: Path, tokenizer: Any, workers: int = 1):
        self.name = files.name
        self.pack = ImagePack(files.pack) if files.pack else None
        sides: list[tuple[tokens.Side, str]] = [("query", files.queries), ("passage", files.passages)]

        def make(partial: Path) -> None:
            keys = tokens.image_keys(files.pack)
            for side, file in sides:
                chunks = tokens.tokenise(tokens.read(file, side, keys), tokenizer, workers)
                tokens.TokenTable.write(partial / side, chunks)
            Texts.write(partial, files.passages)

        folder = folder / files.name
        kept(folder, stamp(tokenizer, files.pack, files.queries, files.passages), make)
        self.tables: dict[tokens.Side, tokens.TokenTable] = {
            side: tokens.TokenTable.open(folder / side) for side, _ in sides
        }
        self.texts = Texts(folder)
        self.ids = pq.read_table(files.passages, columns=["passage_id"])["passage_id"].to_pylist()
        columns = pq.read_table(files.queries, columns=["positives", "answers"]).to_pydict()
        self.positives = [set(ids or ()) for ids in columns["positives"]]
        self.answers = [
            [answer.strip().lower().encode() for answer in answers or () if answer.strip()]
            for answers in columns["answers"]
        ]
        unknown = len(self.positives) - sum(not ids.isdisjoint(self.ids) for ids in self.positives)
        if unknown:
            log.warning(
                "%s: %d of %d queries have no positive in %s", self.name, unknown, len(self.positives), files.passages
            )

    def score(
        self, model: nn.Module, ks: Sequence[int], *, batch_size: int, precision: Precision, threads: int
    ) -> dict[str, float]:
        """`<set>_R@k` and `<set>_PR@k` as fractions; the same on every rank, each of which encodes its share."""
        vectors = {}
        for side, table in self.tables.items():
            encoder = Encoder(model, side, self.pack, batch_size=batch_size, precision=precision, threads=threads)
            vectors[side] = _encode_together(encoder, table)
        scores: list[dict[str, float]] = [{}]
        if gather.rank() == 0:
            passages = Vectors.of(vectors["passage"], ids=self.ids)
            hits = exact_search(Vectors.of(vectors["query"]), passages, max(ks), threads=threads)
            scores = [self._count(np.split(hits.passage, np.flatnonzero(hits.rank == 1)[1:]), ks)]
        if gather.ranks() > 1:
            dist.broadcast_object_list(scores, src=0)
        return scores[0]

    def _count(self, ranked: list[np.ndarray], ks: Sequence[int]) -> dict[str, float]:
        found = [_first(self.ids[row] in ids for row in rows) for rows, ids in zip(ranked, self.positives, strict=True)]
        answered = [
            _first(self.texts.contains(row, answers) for row in rows)
            for rows, answers in zip(ranked, self.answers, strict=True)
            if answers
        ]
        scores = {f"{self.name}_R@{k}": float(np.mean([at < k for at in found])) for k in ks}
        if answered:
            scores |= {f"{self.name}_PR@{k}": float(np.mean([at < k for at in answered])) for k in ks}
        return scores


class Validation:
    """All validation sets and how to score a model on them."""

    def __init__(self, files: list[ValidationFiles], folder: Path, tokenizer: Any, ks: Sequence[int], **encoding: Any):
        self.sets = [ValidationSet(one, folder, tokenizer, encoding["threads"]) for one in files]
        self.ks, self.encoding = sorted(ks), encoding

    def score(self, model: nn.Module) -> dict[str, float]:
        """Scores of all sets, and `macro_R@k`, `macro_PR@k`: their unweighted means over the sets that have them."""
        started = time.perf_counter()
        scores: dict[str, float] = {}
        for part in self.sets:
            scores |= part.score(model, self.ks, **self.encoding)
        names = [part.name for part in self.sets]
        for metric in [f"{kind}@{k}" for kind in ("R", "PR") for k in self.ks]:
            values = [scores[f"{name}_{metric}"] for name in names if f"{name}_{metric}" in scores]
            if values:
                scores[f"macro_{metric}"] = float(np.mean(values))
        log.info("validated in %.1f s: %s", time.perf_counter() - started, scores)
        return scores


def _encode_together(encoder: Encoder, table: tokens.TokenTable) -> np.ndarray:
    """Vectors of all rows on every rank; rank r encodes rows r, r + ranks, ..."""
    ranks = gather.ranks()
    shares = [np.arange(len(table))[rank::ranks] for rank in range(ranks)]
    mine = encoder.all(table, shares[gather.rank()])
    if ranks == 1:
        return mine
    with torch.no_grad():
        together = gather.rows(torch.from_numpy(mine).to(encoder.device)).cpu().numpy()
    vectors = np.empty_like(together)
    vectors[np.concatenate(shares)] = together
    return vectors


def _first(hits: Iterable[bool]) -> float:
    """Place of the first true value, from 0; infinity if there is none."""
    return next((float(at) for at, hit in enumerate(hits) if hit), math.inf)
