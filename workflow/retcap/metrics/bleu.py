"""BLEU-4 as sacrebleu computes it: 13a tokens of the text as written (case kept), exponential smoothing, 0 to 1.

    BLEU = BP * exp(1/4 * sum_n log p_n),  p_n = clipped matches / candidate n-grams, summed over the corpus
    BP = 1 if c >= r else exp(1 - r / c)        (Papineni et al. 2002, section 2.3)

An order without any match gets p_n = 1 / (2^k * n-grams), k counting such orders (sacrebleu's `exp`, as mteval-v13a).
No effective order: that is meant for single sentences. `bleu4_effective_order` has it, for comparison with scripts
that set it. Not comparable with `bleu4_coco`, which lower-cases and drops punctuation.
"""

from typing import TYPE_CHECKING

from retcap.captions.context import Context, Result
from retcap.records import MetricCard

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

CARD = MetricCard(
    name="bleu",
    title="BLEU-4 (sacrebleu)",
    task="captioning",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Papineni et al. 2002; Post 2018, https://github.com/mjpost/sacrebleu",
    shown=("bleu4",),
)
KEYS = ("bleu4", "bleu4_effective_order")
ORDERS = 4


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Corpus BLEU by sacrebleu; items are sentence BLEU with effective order, as sacrebleu advises for sentences."""
    import sacrebleu

    most = max(len(texts) for texts in references)
    # sacrebleu takes one stream per reference position; None marks an item with fewer references
    streams = [[texts[k] if k < len(texts) else None for texts in references] for k in range(most)]
    metric = sacrebleu.BLEU(tokenize="13a", smooth_method="exp", force=True)
    # The annotation of corpus_score forbids None, its code and its documentation ask for it.
    value = metric.corpus_score(candidates, streams).score / 100  # pyright: ignore[reportArgumentType]
    statistics = count(candidates, references, metric.tokenizer)
    total = statistics.sum(axis=0)
    values = {key: float(from_statistics(key, total)) for key in KEYS}
    if abs(values["bleu4"] - value) > 1e-9:
        raise ArithmeticError(f"Our counts give {values['bleu4']}, sacrebleu {value}: the intervals would be wrong.")
    signature = metric.get_signature().format()
    signatures = {"bleu4": signature, "bleu4_effective_order": signature.replace("eff:no", "eff:yes")}
    items = from_statistics("bleu4_effective_order", statistics)
    return {key: Result(values[key], len(candidates), signatures[key], items, statistics) for key in KEYS}


def count(candidates: list[str], references: list[list[str]], tokenise: "Callable[[str], str]") -> "np.ndarray":
    """The ten counts per item [items, 10]."""
    from retcap.captions import ngram_counts

    split = [[tokenise(text.rstrip()) for text in texts] for texts in references]
    return ngram_counts.count([tokenise(text.rstrip()) for text in candidates], split)


def from_statistics(key: str, sums: "np.ndarray") -> "np.ndarray":
    """BLEU of summed counts [..., 10] -> [...]. Zero without any match, and zero when an order has no n-gram at all
    (unless the key is the effective-order one, which then averages over the orders that exist)."""
    import numpy as np

    sums = np.asarray(sums, dtype=np.float64)
    length, reference = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    exists = totals > 0
    halvings = np.cumsum((matches == 0) & exists, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(matches > 0, matches / totals, 1.0 / (2.0**halvings * totals))
        logs = np.where(exists, np.log(precision), 0.0)
        # exp(1 - r/c) is 0 for c = 0, which is what an empty output deserves
        brevity = np.where(length < reference, np.exp(1.0 - reference / length), 1.0)
    if key == "bleu4_effective_order":
        orders = np.maximum(exists.sum(axis=-1), 1)
        defined = matches.any(axis=-1)
    else:
        orders = ORDERS
        defined = matches.any(axis=-1) & exists.all(axis=-1)
    return np.where(defined, brevity * np.exp(logs.sum(axis=-1) / orders), 0.0)
