"""Whose text contains an answer: the hits of every query, its gold passages, and how many passages of the corpus."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from retcap.retrieval.judging.files import Corpus
from retcap.retrieval.judging.gold import Gold
from retcap.retrieval.judging.matching import Finder
from retcap.retrieval.judging.numerals import NumberTable
from retcap.retrieval.judging.patterns import Patterns, word_pattern


class TextMarks:
    """Filled query by query: one mask over the corpus at a time, shared by queries with equal answers.

    `passages`: what every row of the corpus counts as.
    """

    def __init__(
        self, rows: Int[np.ndarray, "Q D"], corpus: Corpus, gold: Gold, passages: Int[np.ndarray, " N"]
    ) -> None:
        self.answer, self.words, self.numeric = (np.zeros(rows.shape, dtype=bool) for _ in range(3))
        self.answer_passages, self.word_passages = (np.zeros(len(rows), dtype=np.int64) for _ in range(2))
        self.gold_answers, self.gold_words = (np.zeros(len(rows), dtype=bool) for _ in range(2))
        self._rows, self._gold, self._passages = rows, gold, passages
        self._distinct = len(np.unique(passages)) == len(passages)
        self._order = np.argsort(corpus.codes, kind="stable")  # rows by passage id
        self._starts = np.searchsorted(corpus.codes[self._order], np.arange(len(corpus.names) + 1))

    def fill(self, patterns: Sequence[Patterns], corpus: Corpus, finder: Finder) -> None:
        """Mark what every query looks for. `finder`: in the texts of the corpus."""
        texts = sorted({text for one in patterns for text in one.texts})
        words = sorted({word_pattern(text) for text in texts} - {""})  # an empty pattern is no word
        plain = finder.rows(texts, str.lower)
        whole = finder.rows(words, word_pattern, whole_words=True)
        numbers = NumberTable(corpus.texts if any(one.ranges for one in patterns) else ())
        groups: dict[Patterns, list[int]] = {}
        for query, one in enumerate(patterns):
            groups.setdefault(one, []).append(query)
        for one, members in groups.items():
            if not one.usable:
                continue
            ranged = [numbers.rows_within(bounds) for bounds in one.ranges]
            texted = [plain[text] for text in one.texts]
            worded = [whole[form] for form in map(word_pattern, one.texts) if form]
            self._mark(members, self._mask(ranged), self.numeric)
            answers, forms = self._mask([*ranged, *texted]), self._mask([*ranged, *worded])
            self._mark(members, answers, self.answer, self.answer_passages, self.gold_answers)
            self._mark(members, forms, self.words, self.word_passages, self.gold_words)

    def _mask(self, found: Sequence[np.ndarray]) -> Bool[np.ndarray, " N"]:
        mask = np.zeros(len(self._passages) + 1, dtype=bool)  # the last one answers for -1, a place without a hit
        for rows in found:
            mask[rows] = True
        return mask

    def _mark(
        self,
        members: Sequence[int],
        mask: Bool[np.ndarray, " N"],
        places: Bool[np.ndarray, "Q D"],
        passages: Int[np.ndarray, " Q"] | None = None,
        golds: Bool[np.ndarray, " Q"] | None = None,
    ) -> None:
        places[members] = mask[self._rows[members]]
        if passages is None or golds is None:
            return
        present = mask[:-1]
        passages[members] = present.sum() if self._distinct else len(np.unique(self._passages[present]))
        for query in members:
            golds[query] = any(
                mask[self._order[self._starts[code] : self._starts[code + 1]]].any()
                for code in self._gold.codes_of(query)
            )
