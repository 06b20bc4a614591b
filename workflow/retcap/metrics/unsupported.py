"""Unsupported words: the share of a caption's content words that stand in none of its references, 0 to 1, a proxy.

    value = sum over captions of |{w in content(c): stem(w) in no reference}| / sum over captions of |content(c)|

Words are runs of ASCII letters and digits in lower case, compared without their suffix (Porter) where they have more
than three letters. Content words are all but FUNCTION_WORDS, and count as often as they are said. An empty caption says
nothing that could be wrong: it adds to neither sum.

A proxy for hallucination, after the idea of CHAIR (Rohrbach et al. 2018, section 2, objects of a caption that are not
in the image), whose objects COCO alone has. A true word that no reference happens to say counts as well, so the value
falls with the number of references and is no share of hallucinations. On the 400 captions of HAT (Petryk et al. 2024)
that people marked, its AUC is .70, that of the caption's length .51 (tests/test_unsupported.py).

>>> stem = {"dogs": "dog"}.get
>>> counts("Two red dogs on the grass.", ["A dog runs.", "Grass, and two dogs."], lambda word: stem(word, word))
(1, 4)
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from retcap.captions.context import Context, Result
from retcap.records import MetricCard

if TYPE_CHECKING:
    import numpy as np

CARD = MetricCard(
    name="unsupported",
    title="words in no reference",
    task="captioning",
    unit="fraction of content words",
    higher_is_better=False,
    low=0.0,
    high=1.0,
    source="a proxy of this project, after CHAIR (Rohrbach et al. 2018, arXiv 1809.02156)",
    shown=(),
)
KEYS = ("unsupported",)
SCORE_RAW = False  # not among the values of raw captions
WORD = re.compile("[a-z0-9]+")
LIST = 1  # version of the words, for the signature
_LISTED = """
    a an the this that these those some any no each every all both few many several more most other another such
    i you he she it we they me him her us them my your his its our their who whom whose which what one ones
    am is are was were be been being do does did have has had having can could will would shall should may might must
    and or but nor so yet if then than as while when where because although though not
    of in on at by for with from to into onto out off over under up down about above below across after against along
    among around before behind beneath beside between beyond during inside near outside through toward towards upon via
    within without there here very also just only too
"""
FUNCTION_WORDS = frozenset(_LISTED.split())


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Corpus value of the summed counts; items by the same formula."""
    from functools import cache
    from importlib.metadata import version

    import numpy as np
    from nltk.stem import porter

    full = porter.PorterStemmer().stem
    stem = cache(lambda word: full(word) if len(word) > 3 else word)
    pairs = zip(candidates, references, strict=True)
    statistics = np.array([counts(one, others, stem) for one, others in pairs], dtype=np.float64).reshape(-1, 2)
    value = float(from_statistics("unsupported", statistics.sum(axis=0)))
    signature = f"unsupported|stem:porter-nltk-{version('nltk')}|function-words:{LIST}|corpus:aggregated"
    return {
        "unsupported": Result(value, len(candidates), signature, from_statistics("unsupported", statistics), statistics)
    }


def from_statistics(key: str, sums: "np.ndarray") -> "np.ndarray":
    """Share of summed counts [..., 2] -> [...]: unsupported content words, and all of them; 0 without any."""
    import numpy as np

    sums = np.asarray(sums, dtype=np.float64)
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros_like(sums[..., 0]), where=sums[..., 1] > 0)


def counts(candidate: str, references: Iterable[str], stem: Callable[[str], str]) -> tuple[int, int]:
    """Content words of a caption that stand in no reference, and all of them."""
    known = {stem(word) for text in references for word in WORD.findall(text.lower())}
    content = [stem(word) for word in WORD.findall(candidate.lower()) if word not in FUNCTION_WORDS]
    return sum(word not in known for word in content), len(content)
