"""CIDEr-D as pycocoevalcap's `Cider` computes it, on PTB tokens, times 10: 0 to 10.

    CIDEr_n(c, S) = 10/|S| * sum_{s in S} exp(-(l_c - l_s)^2 / (2 * 6^2)) * min(g(c), g(s)) . g(s) / (|g(c)| |g(s)|)
    g = term count * log(N / df), averaged over n = 1-4      (Vedantam et al. 2015, section 3 and equation 4)

Where paper and code differ the code is followed, as every published score does: no stemming, raw term counts, and the
lengths l are numbers of bigrams. N and df come from a frozen file (`retcap.captions.frequencies`); without one they
come from the references of the run, and the signature then says so. A corpus of one document has log N = 0 and every
score would be 0, so the value is null there.
"""

from typing import TYPE_CHECKING, NamedTuple

from retcap.captions.context import Context, Result
from retcap.captions.ptb import VERSION
from retcap.records import MetricCard

if TYPE_CHECKING:
    import numpy as np

    from retcap.captions.frequencies import DocumentFrequencies

CARD = MetricCard(
    name="cider",
    title="CIDEr-D",
    task="captioning",
    unit="score out of 10",
    low=0.0,
    high=10.0,
    source="Vedantam et al. 2015; Chen et al. 2015, https://github.com/salaniz/pycocoevalcap",
)
KEYS = ("cider",)
ORDERS = 4
SIGMA = 6.0  # of the length penalty (Vedantam et al. 2015, section 4.1)


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Mean over items."""
    from retcap.captions.frequencies import count_documents

    words, others = context.tokenised(candidates, references)
    frequencies = context.frequencies
    if frequencies is None:
        frequencies = count_documents(others)
        idf = f"run-only,N={frequencies.documents}"
    else:
        idf = f"{frequencies.sha256[:12]},N={frequencies.documents}"
    signature = f"coco|cider-d|tok:ptb-{VERSION}|sigma:{SIGMA:g}|idf:{idf}"
    if frequencies.reason is not None:
        return {"cider": Result(None, len(candidates), signature, reason=frequencies.reason)}
    if frequencies.documents < 2:
        reason = f"CIDEr needs references of at least 2 items for its idf, got {frequencies.documents}."
        return {"cider": Result(None, len(candidates), signature, reason=reason, excused=True)}
    items = score_items(words, others, frequencies)
    return {"cider": Result(float(items.mean()), len(items), signature, items=items)}


class _Grams(NamedTuple):
    """Distinct n-grams of one order of all sentences, sorted by `key` = sentence * codes + code."""

    key: "np.ndarray"
    sentence: "np.ndarray"
    code: "np.ndarray"
    weight: "np.ndarray"  # term count * idf
    norm: "np.ndarray"  # [sentences] Euclidean length of each sentence's weights
    codes: int


def score_items(candidates: list[str], references: list[list[str]], frequencies: "DocumentFrequencies") -> "np.ndarray":
    """CIDEr-D of every item [items] on tokenised text.

    All sentences (candidates first, then references) are weighed at once; each reference n-gram then looks up the same
    n-gram of its candidate by binary search.
    """
    import numpy as np

    sentences = [text.split() for text in candidates] + [text.split() for texts in references for text in texts]
    items, counts = len(candidates), np.array([len(texts) for texts in references])
    owner = np.repeat(np.arange(items), counts)  # item of each reference
    bigrams = np.maximum(np.array([len(words) for words in sentences]) - 1, 0)
    delta = (bigrams[owner] - bigrams[items:]).astype(np.float64)
    penalty = np.exp(-(delta**2) / (2 * SIGMA**2))
    total = np.zeros(len(owner))
    for grams in _weigh(sentences, frequencies):
        of_reference = grams.sentence >= items
        reference = grams.sentence[of_reference] - items
        wanted = owner[reference] * grams.codes + grams.code[of_reference]
        place = np.minimum(np.searchsorted(grams.key, wanted), len(grams.key) - 1)
        found = grams.key[place] == wanted
        theirs, own = grams.weight[of_reference][found], grams.weight[place[found]]
        dot = np.bincount(reference[found], np.minimum(own, theirs) * theirs, minlength=len(owner))
        norms = grams.norm[owner] * grams.norm[items:]
        total += penalty * np.divide(dot, norms, out=np.zeros(len(owner)), where=norms != 0)
    return 10.0 * np.bincount(owner, total, minlength=items) / ORDERS / counts


def _weigh(sentences: list[list[str]], frequencies: "DocumentFrequencies") -> "list[_Grams]":
    """The tf-idf weights of all sentences, one entry per order."""
    import numpy as np

    words = [word for sentence in sentences for word in sentence]
    if not words:
        return []
    numbers: dict[str, int] = {}
    token = np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int64)
    lengths = np.array([len(sentence) for sentence in sentences])
    sentence_of = np.repeat(np.arange(len(sentences)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(words))  # tokens up to the end of the sentence
    result = []
    start, code = np.arange(len(words)), token
    for n in range(1, ORDERS + 1):
        if n > 1:
            longer = left[start] >= n
            start, code = start[longer], code[longer] * len(numbers) + token[start[longer] + n - 1]
        if not len(start):
            break
        # renumbering after each order keeps codes below the number of tokens, so products fit into 64 bits
        _, first, code = np.unique(code, return_index=True, return_inverse=True)
        grams = (" ".join(words[i : i + n]) for i in start[first].tolist())
        frequency = np.array([frequencies.counts.get(gram, 1) for gram in grams], dtype=np.float64)
        idf = np.log(float(frequencies.documents)) - np.log(frequency)
        key, times = np.unique(sentence_of[start] * len(first) + code, return_counts=True)
        sentence, kind = np.divmod(key, len(first))
        weight = times * idf[kind]
        norm = np.sqrt(np.bincount(sentence, weight**2, minlength=len(sentences)))
        result.append(_Grams(key, sentence, kind, weight, norm, len(first)))
    return result
