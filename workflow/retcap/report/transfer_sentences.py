"""What the scores of the transfer study say, in sentences: the worth of zero-shot, and what features add to pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

from retcap.records import Difference
from retcap.report import wording

PIXELS, PROBE = "pixels", "probe"


def worth(name: str, found: Mapping[str, Any], shots: Sequence[int]) -> str:
    """The worth of zero-shot in words.

    >>> worth("tiny", {"value": 8.2, "low": 5.0, "high": "beyond"}, [1, 2, 4, 8, 16])
    'Zero-shot by tiny is worth 8.2 labelled pictures per class (95 % interval 5.0 to more than 16).'
    >>> worth("tiny", {"value": "below", "low": "below", "high": "below"}, [1, 2, 4])
    'Zero-shot by tiny is worth fewer than 1 labelled pictures per class (all of the 95 % interval).'
    """
    words = {"below": f"fewer than {shots[0]}", "beyond": f"more than {shots[-1]}"}
    value, low, high = (
        words[found[key]] if isinstance(found[key], str) else wording.number(found[key], 1)
        for key in ("value", "low", "high")
    )
    interval = "all of the 95 % interval" if value == low == high else f"95 % interval {low} to {high}"
    return f"Zero-shot by {name} is worth {value} labelled pictures per class ({interval})."


def no_better_than_chance(name: str, score: Mapping[str, Any], classes: int) -> str | None:
    """A sentence where the interval of a zero-shot accuracy (a share) does not lie above one in so many classes.

    >>> no_better_than_chance("tiny", {"value": 0.1, "low": 0.077, "high": 0.126}, classes=10)
    'Zero-shot by tiny is no better than chance: 10.0 percent, 10.0 by chance.'
    """
    if score["low"] is None or score["low"] > 1 / classes:
        return None
    value, chance = (wording.percent(share) for share in (score["value"], 1 / classes))
    return f"Zero-shot by {name} is no better than chance: {value} percent, {chance} by chance."


def beside_pixels(found: Sequence[Difference], dataset: str) -> list[str]:
    """Of every encoder on a set: whether a probe learns more from its features than from raw pixels."""
    said = []
    for one in found:
        encoder = one.first.removesuffix(f": {PROBE}")
        ours = one.dataset == dataset and one.second == f"{PIXELS}: {PROBE}" and encoder != one.first
        if not ours or one.difference is None or one.ci_low is None or one.ci_high is None:
            continue
        points = f"{100 * abs(one.difference):.1f} points"
        bounds = wording.interval(one.ci_low, one.ci_high, digits=1, scale=100)
        probe = f"A probe on features of {encoder} is"
        if one.ci_low > 0:
            said.append(f"{probe} {points} better than one on raw pixels ({bounds}).")
        elif one.ci_high < 0:
            said.append(f"{probe} {points} worse than one on raw pixels ({bounds}): the features have lost what tells.")
        else:
            said.append(f"{probe} neither clearly better nor worse than one on raw pixels ({bounds}).")
    return said
