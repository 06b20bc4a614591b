"""What a caption metric gets and gives. Light: metric plugins import it at their top.

A metric is one file in `retcap/metrics/` with

    CARD: MetricCard                     # name = file stem; unit and bounds hold for every key
    KEYS = ("rougeL",)                   # the names of its values in the metrics file
    def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]
    def from_statistics(key, sums)       # only when its results have statistics: array [..., S] -> array [...]
    SCORE_RAW = False                    # only when too slow to score the uncleaned captions as well
    NEEDS_IMAGES = True                  # only when `score` takes `images` as well: the keys of the pictures, or None

`candidates[i]` is judged against `references[i]`, both untokenised; the lists have equal length, every item has at
least one reference, and an empty candidate is a caption that failed: it scores 0 and counts. An exception means that
the metric could not be computed: its keys become null with the message as reason, the other metrics go on, and the run
is no success until they have come. A null that no further run could change says so itself (`Result.excused`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retcap.captions import ptb
from retcap.captions.corenlp import CoreNLP

if TYPE_CHECKING:
    import numpy as np

    from retcap.captions.clip_features import ClipFeatures
    from retcap.captions.frequencies import DocumentFrequencies
    from retcap.captions.reference_texts import ReferenceTexts

NO_ENCODER = (
    "It needs a CLIP encoder that knows such pictures: name one of `backbones` as captioning.encoder. The tiny one of "
    "the demo knows drawn worlds alone."
)


@dataclass(frozen=True)
class Result:
    """One value of one metric on one system."""

    value: float | None  # the corpus value; None when it could not be computed, never a stand-in number
    n: int  # items judged, failed and empty captions included
    signature: str  # tool, version, tokenisation and whatever else must agree before two values may be compared
    items: "np.ndarray | None" = None  # [n] value per item
    statistics: "np.ndarray | None" = None  # [n, S]; their sum over items determines the corpus value
    reason: str | None = None  # why `value` is None
    excused: bool = False  # a null that is no failure: no further run could change it


@dataclass
class Context:
    """What metrics share: tokens, frozen document frequencies, long-lived children. Use it as a context manager.

    One context may serve many systems, one after another: texts are tokenised once, and a Java child stays warm.
    """

    frequencies: "DocumentFrequencies | None" = None  # CIDEr's idf; None: from the references of the run
    corenlp: CoreNLP = field(default_factory=CoreNLP)  # what SPICE parses with, or why it is not there
    references: "ReferenceTexts | None" = None  # what was made of the study's references once; None: made here
    clip: "ClipFeatures | None" = None  # vectors of pictures and texts, for CLIPScore
    no_clip: str = NO_ENCODER  # why there are none
    timeout_s: float = 300.0  # longest silence of a Java child (METEOR starts in 6-10 s; in 57 s on a busy machine)
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)
    _failure: Exception | None = None

    def __post_init__(self) -> None:
        if self.references is not None:
            self._tokens |= self.references.tokens

    def ptb(self, texts: Iterable[str]) -> list[str]:
        """PTB tokens of each text, joined by spaces; one JVM for all texts not seen before."""
        texts = list(texts)
        missing = sorted(set(texts) - self._tokens.keys())
        if missing:
            if self._failure is not None:  # every metric would wait for the same failure again
                raise self._failure
            try:
                self._tokens.update(zip(missing, ptb.tokenise(missing, self.timeout_s), strict=True))
            except Exception as error:
                self._failure = error
                raise
        return [self._tokens[text] for text in texts]

    def tokenised(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list, list[list]]:
        """Candidates and references after PTB, in the same shape."""
        self.ptb([*candidates, *(text for texts in references for text in texts)])
        return self.ptb(candidates), [self.ptb(texts) for texts in references]

    def keep(self, name: str, start: Callable[[], Any]) -> Any:
        """The object kept under `name`, started on first use. Its `close()` is called when the context ends."""
        if name not in self._kept:
            self._kept[name] = start()
        return self._kept[name]

    def close(self) -> None:
        """End every child."""
        while self._kept:
            self._kept.popitem()[1].close()

    def __enter__(self) -> "Context":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
