"""The two tables under construction: what is written, what is counted, and how inline passages come together.

Ids and texts are counted as hashes on disk, so memory does not grow with the rows; held are one set entry per distinct
passage of a training split, and the passages whose text has not come yet. The hashes are Python's own, 64 bits wide and
different in every process: good for counting within one. Among n = 1 million ids two distinct ones share a hash with
probability n^2 / 2^65 = 3e-8.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from retcap.retrieval.judging.answers import Answers
from retcap.retrieval.m2kr.lines import Passage, Query
from retcap.retrieval.m2kr.tables import PASSAGES, QUERIES, TableWriter
from retcap.retrieval.splits.spill import Spill

MANY_SOURCES = 64  # distinct `dataset_id` values that a card lists; more than that is one value per row
QUERY_COUNTS = (
    "without_image",
    "images_without_root",
    "without_question",
    "without_usable_answer",
    "with_numeric_answer",
    "with_joined_answer",
    "repeated_instruction",
)
NO_TEXT = 0  # stands for the hash of a missing text


class PassageTable:
    """Corpus rows in file order, then the passages that stand only inside query lines, each id once."""

    def __init__(self, path: Path, dataset: str, split: str) -> None:
        self.counts: Counter[str] = Counter()
        self._writer = TableWriter(path, PASSAGES)
        self._dataset, self._split = dataset, split
        self._rows = Spill(path.parent, 2)  # (id, text) of every written row
        self._inline = Spill(path.parent, 2)  # (id, text) of every passage of a query line that has a text
        self._written: set[int] | None = None
        self._without_text: dict[str, Passage] = {}

    def add(self, passage: Passage) -> None:
        """Write one corpus row; repeated ids stay."""
        self._write(passage, hash(passage.passage_id))

    def add_inline(self, passage: Passage) -> None:
        """Write a passage of a query line unless its id is there. One without a text waits: the text may come later."""
        if self._written is None:
            self._written = {int(key) for keys in self.ids() for key in keys}
        key = hash(passage.passage_id)
        if passage.text:
            self._inline.add(key, hash(passage.text))
        if key in self._written:
            return
        held = self._without_text.get(passage.passage_id)
        if held is not None and passage.image is None:
            passage = Passage(passage.passage_id, passage.text, held.image, held.without_root)
        if not passage.text:
            self._without_text[passage.passage_id] = passage
            return
        self._without_text.pop(passage.passage_id, None)
        self._write(passage, key)
        self._written.add(key)
        self.counts["from_query_lines"] += 1

    def _write(self, passage: Passage, key: int) -> None:
        self._rows.add(key, hash(passage.text) if passage.text else NO_TEXT)
        self.counts["null_texts"] += passage.text is None
        self.counts["without_content"] += passage.is_empty
        self.counts["null_images"] += passage.image is None
        self.counts["images_without_root"] += passage.without_root
        values = (passage.passage_id, self._dataset, self._split, passage.text, passage.image)
        self._writer.append(values, size=len(passage.text or ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)
        self._rows.close()
        self._inline.close()

    def finish(self) -> None:
        """Write the passages that are a picture only: every line has been read."""
        for passage in self._without_text.values():
            if passage.is_empty:
                self.counts["ids_without_content"] += 1  # named as a positive, described nowhere: not a passage
            else:
                self._write(passage, hash(passage.passage_id))
                self.counts["from_query_lines"] += 1

    def ids(self) -> Iterator[np.ndarray]:
        """Sorted distinct id hashes of all rows, part by part."""
        return (np.unique(part[:, 0]) for part in self._rows.parts())

    def card(self) -> dict[str, Any]:
        """Counts for `card.json`."""
        names = ("from_query_lines", "ids_without_content", "without_content", "null_texts", "null_images")
        return {
            "rows": len(self._rows),
            "duplicate_ids": len(self._rows) - sum(map(len, self.ids())),
            "ids_with_several_texts": self._ids_with_several_texts(),
        } | {name: self.counts[name] for name in (*names, "images_without_root")}

    def _ids_with_several_texts(self) -> int:
        several = 0
        for parts in zip(self._rows.parts(), self._inline.parts(), strict=True):
            pairs = np.concatenate(parts)
            pairs = np.unique(pairs[pairs[:, 1] != NO_TEXT], axis=0)
            _, versions = np.unique(pairs[:, 0], return_counts=True)
            several += int((versions > 1).sum())
        return several


class QueryTable:
    """Query rows in file order."""

    def __init__(self, path: Path, dataset: str, split: str) -> None:
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self._writer = TableWriter(path, QUERIES)
        self._dataset, self._split = dataset, split
        self._rows = Spill(path.parent, 1)  # the id of every row
        self._golds = Spill(path.parent, 2)  # (id, number of the row) of every positive

    def add(self, query: Query) -> None:
        """Write one row."""
        positives = [passage.passage_id for passage in query.positives]
        for positive in positives:
            self._golds.add(hash(positive), len(self._rows))
        self._rows.add(hash(query.query_id))
        self._count(query)
        found = query.answers
        ranges = [{"low": low, "high": high} for low, high in found.ranges]
        place = (query.query_id, self._dataset, self._split)
        asked = (query.instruction, query.question, query.image)
        raw = (query.answer_json, query.positives_json)
        self._writer.append((*place, *asked, found.texts, ranges, found.kind, positives, *raw))

    def _count(self, query: Query) -> None:
        found = query.answers
        self.kinds[found.kind] += 1
        if query.source in self.sources or len(self.sources) < MANY_SOURCES:
            self.sources[query.source] += 1
        if found.unusable:
            self.counts["unusable_answers"] += found.unusable
        for name, holds in zip(QUERY_COUNTS, _facts(query, found), strict=True):
            if holds:
                self.counts[name] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)
        self._rows.close()
        self._golds.close()

    def card(self, passage_ids: Iterator[np.ndarray]) -> dict[str, Any]:
        """Counts for `card.json`; `passage_ids` are the hashes of all passages there are, in the parts of a Spill."""
        found = np.zeros(len(self._rows), bool)  # per query: is any of its positives among the passages?
        dangling = 0
        for golds, passages in zip(self._golds.parts(), passage_ids, strict=True):
            there = np.isin(golds[:, 0], passages)
            found[golds[there, 1]] = True
            dangling += int((~there).sum())
        return {
            "rows": len(self._rows),
            "duplicate_ids": len(self._rows) - self._rows.distinct(),
            "positives": len(self._golds),
            "positives_not_in_passages": dangling,
            "without_any_positive_in_passages": int((~found).sum()),
            "answer_kinds": dict(sorted(self.kinds.items())),
            "sources": dict(sorted(self.sources.items())),
        } | {name: self.counts[name] for name in (*QUERY_COUNTS, "unusable_answers")}


def _facts(query: Query, found: Answers) -> tuple[bool, ...]:
    """One truth value per name in QUERY_COUNTS."""
    return (
        query.image is None,
        query.without_root,
        not query.question,
        not (found.texts or found.ranges),
        bool(found.ranges),
        # Encyclopedic-VQA joins the parts of one answer with "&&"; whether that survives in M2KR is not published.
        any("&&" in text for text in found.texts),
        query.repeated_instruction,
    )
