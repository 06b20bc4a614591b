"""References held out: what a human caption is scored against, and every other system when it is compared with one.

A human caption is one of the references, so only the others can judge it. A system that is scored against all of them
has one more to agree with: on QuIC-360 the same blind captions reach sacreBLEU .095 against all references and .083
against those without one. So for a comparison with `human` both sides are scored on the same pairs against the same
references. That is done several times, another reference held out each time, and a value is the mean over these draws.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from retcap.analysis.bootstrap import Statistic
from retcap.captions.clean import CLEANER_VERSION, clean
from retcap.captions.context import Result
from retcap.captions.pairs import Pairs
from retcap.captions.places import Places


def expand(pairs: Pairs, held: Places, *, human: bool) -> Pairs:
    """Every pair that can spare a reference once per draw, in a row, against its other references.

    `human`: the reference that is held out speaks, cleaned as any caption is; else the system's own caption does.
    """
    at = [number for number, item in enumerate(pairs.item_ids) for _ in held.get(item, ())]
    out = [place for item in pairs.item_ids for place in held.get(item, ())]
    said = [pairs.references[number][place] for number, place in zip(at, out, strict=True)] if human else []
    others = [
        [text for other, text in enumerate(pairs.references[number]) if other != place]
        for number, place in zip(at, out, strict=True)
    ]
    return Pairs(
        item_ids=[pairs.item_ids[number] for number in at],
        images=[pairs.images[number] for number in at],
        cleaned=[clean(text) for text in said] if human else [pairs.cleaned[number] for number in at],
        raw=said if human else [pairs.raw[number] for number in at],
        references=others,
        statuses=[pairs.statuses[number] for number in at],
        excluded=pairs.excluded + len(pairs.item_ids) - len(dict.fromkeys(at)),
        cleaner=CLEANER_VERSION if human else pairs.cleaner,
    )


def fold(found: Mapping[str, Result], module: ModuleType, draws: int, what: str = "refs:held-out") -> dict[str, Result]:
    """Results over the draws of all pairs as results over pairs.

    items becomes [pairs, draws], statistics [pairs, draws, S]; the value is the mean of the draws' corpus values. One
    that has neither keeps its value over all draws. `what` was drawn stands in the signature.
    """
    folded = {}
    for key, result in found.items():
        folded[key] = replace(result, n=result.n // draws, signature=f"{result.signature}|{what},draws:{draws}")
        if result.value is None:
            folded[key] = replace(folded[key], items=None, statistics=None)
            continue
        items = None if result.items is None else result.items.reshape(-1, draws)
        folded[key] = replace(folded[key], items=items)
        if result.statistics is not None:
            sums = result.statistics.reshape(-1, draws, result.statistics[0].size)
            value = mean_over_draws(key, module, draws)(sums.sum(axis=0).ravel())
            folded[key] = replace(folded[key], value=float(value), statistics=sums)
        elif items is not None:
            folded[key] = replace(folded[key], value=float(items.mean()))
    return folded


def first(held: Places) -> Places:
    """The first draw alone: one human caption per pair, as of any other system."""
    return {item: places[:1] for item, places in held.items()}


def spread(found: Mapping[str, Result], draws: int) -> dict[str, Result]:
    """Results of the first draw in the shape of all: what looks at a caption alone has the same value in each."""
    return {
        key: replace(
            result,
            signature=f"{result.signature}|draw:first",
            items=None if result.items is None else np.repeat(result.items[:, None], draws, axis=1),
        )
        for key, result in found.items()
    }


def mean_over_draws(key: str, module: ModuleType, draws: int) -> Statistic:
    """Sums of the draws' statistics side by side [..., draws * S] -> the mean of their corpus values [...]."""
    return partial(_mean, partial(module.from_statistics, key), draws)


def _mean(statistic: Statistic, draws: int, sums: np.ndarray) -> Any:
    return statistic(sums.reshape(*sums.shape[:-1], draws, -1)).mean(axis=-1)
