"""METEOR 1.5 for English, by the jar of pycocoevalcap, on PTB text with `-norm`: 0 to 1.

The jar aligns a caption with its best reference and answers 23 numbers; the score follows from them:

    P = (delta * m_c(h) + (1 - delta) * m_f(h)) / (delta * content(h) + (1 - delta) * function(h)),  R likewise
    F = P R / (alpha P + (1 - alpha) R),  score = F * (1 - gamma * (chunks / matched words)^beta)
    (Denkowski and Lavie 2014, section 2; m_c, m_f: matches weighed by matcher)

The corpus score adds the 23 numbers over items and applies the formula once; it is not the mean of the items. So the
numbers are kept per item, and resampling never calls the jar. Parameters: the English task `rank`, the jar's default.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retcap.captions import java, ptb
from retcap.captions.context import Context, Result
from retcap.records import MetricCard

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from retcap.captions.reference_texts import ReferenceTexts

CARD = MetricCard(
    name="meteor",
    title="METEOR 1.5",
    task="captioning",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Denkowski and Lavie 2014; https://www.cs.cmu.edu/~alavie/METEOR/, jar of pycocoevalcap",
)
KEYS = ("meteor",)
JAR = "meteor/meteor-1.5.jar"
STATISTICS = 23
HEAP_MB = 2048
MATCHERS = (1.0, 0.6, 0.8, 0.6)  # weights of exact, stem, synonym and paraphrase matches
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Corpus value from the summed statistics; items by the same formula."""
    words, others = context.tokenised(candidates, references)
    aligner = context.keep("meteor", lambda: Aligner(context.timeout_s, context.references))
    statistics = aligner.statistics(words, others)
    return {
        "meteor": Result(
            value=float(from_statistics("meteor", statistics.sum(axis=0))),
            n=len(candidates),
            signature=f"meteor-1.5|lang:en|task:rank|norm:yes|tok:ptb-{ptb.VERSION}|corpus:aggregated",
            items=from_statistics("meteor", statistics),
            statistics=statistics,
        )
    }


class Aligner:
    """The METEOR jar in a child that stays warm, with a memory of answers.

    Its start reads 62 MB of paraphrases, or the part that can match the references of the study: the same answers.
    """

    def __init__(self, timeout_s: float, prepared: "ReferenceTexts | None" = None):
        self.timeout_s = timeout_s
        self._prepared = prepared
        self._table: Path | None = None  # of the child that runs; None: the jar's own
        self.restarts = 0
        self._child: java.Dialogue | None = None
        self._known: dict[str, list[float]] = {}

    def statistics(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> "np.ndarray":
        """The jar's numbers per item, float64 [items, 23], a perfect one-chunk alignment counted as no chunk."""
        import numpy as np

        table = self._prepared.table_for(references) if self._prepared else None
        if table != self._table:
            self.close()
            self._table = table
        lines = [_question(candidate, texts) for candidate, texts in zip(candidates, references, strict=True)]
        self._ask([line for line in dict.fromkeys(lines) if line not in self._known])
        table = np.array([self._known[line] for line in lines]).reshape(len(lines), STATISTICS)
        chunks, in_candidate, in_reference = table[:, 20], table[:, 21], table[:, 22]
        # The jar does this when it scores, alone and in a sum: a caption equal to its reference has no fragmentation.
        whole = (chunks == 1) & (in_candidate == table[:, 0]) & (in_reference == table[:, 1])
        table[whole, 20] = 0.0
        return table

    def _ask(self, lines: list[str]) -> None:
        """Fill the memory. A child that hangs or dies is replaced once; what it had answered is kept."""
        for last_try in (False, True):
            todo = [line for line in lines if line not in self._known]
            if not todo:
                return
            child = self._start()
            try:
                answers = child.ask(todo)
            except java.JavaError as error:
                self._remember(todo, error.answers)
                self.close()
                if last_try:
                    raise
                self.restarts += 1
            else:
                self._remember(todo, answers)

    def _remember(self, lines: list[str], answers: list[str]) -> None:
        for line, answer in zip(lines, answers, strict=False):
            try:
                numbers = [float(number) for number in answer.split()]
            except ValueError:
                numbers = []
            if len(numbers) != STATISTICS:
                self.close()  # question and answer may be out of step: nothing this child says can be trusted
                raise java.JavaError(
                    f"METEOR answered {answer[:200]!r} to {line[:200]!r}; expected {STATISTICS} numbers."
                )
            self._known[line] = numbers

    def _start(self) -> java.Dialogue:
        if self._child is None:
            arguments = ["-jar", str(java.find_jar(JAR)), "-", "-", "-stdio", "-l", "en", "-norm"]
            arguments += ["-a", str(self._table)] if self._table else []
            self._child = java.Dialogue(java.command(arguments, HEAP_MB), self.timeout_s)
        return self._child

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _question(candidate: str, references: Sequence[str]) -> str:
    """`SCORE ||| reference ||| ... ||| candidate`. A separator inside a text would add a reference: it is taken out."""
    texts = [ptb.collapse_whitespace(text.replace("|||", " ")) for text in (*references, candidate)]
    return " ||| ".join(["SCORE", *texts])


def from_statistics(key: str, sums: "np.ndarray") -> "np.ndarray":
    """METEOR of summed statistics [..., 23] -> [...]; 0 where precision or recall is 0.

    Columns: 0-3 length and function words of candidate and reference (length, length, function, function); 4-19 per
    matcher content matches in both, then function-word matches in both; 20-22 chunks, matched words in both.
    """
    import numpy as np

    sums = np.asarray(sums, dtype=np.float64)
    weights = np.array(MATCHERS)
    matches = sums[..., 4:20].reshape(*sums.shape[:-1], len(MATCHERS), 4)
    content = (matches[..., :2] * weights[:, None]).sum(axis=-2)
    function = (matches[..., 2:] * weights[:, None]).sum(axis=-2)
    lengths, functions = sums[..., 0:2], sums[..., 2:4]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = DELTA * (lengths - functions) + (1 - DELTA) * functions
        share = (DELTA * content + (1 - DELTA) * function) / size
        precision, recall = share[..., 0], share[..., 1]
        f_mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
        fragmentation = sums[..., 20] / (sums[..., 21:23].sum(axis=-1) / 2)
        value = f_mean * (1 - GAMMA * fragmentation**BETA)
    return np.where((precision > 0) & (recall > 0), value, 0.0)
