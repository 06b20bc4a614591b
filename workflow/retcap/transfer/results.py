"""From places to scores: accuracies with intervals, the few-shot curve, and what zero-shot is worth on it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from retcap.analysis import bootstrap
from retcap.transfer import few_shot, hits
from retcap.transfer.scoring import TEST, estimate

TABLE = ("evaluation", "name", "group", "label")  # columns of the places that are no classifier
SHOTS = ("{k}-shot", "{k}-shot, draw {draw}")


class Part(NamedTuple):
    """The places of one evaluation, with the resamples that all of its scores share."""

    places: pd.DataFrame
    codes: np.ndarray
    weights: np.ndarray


def part(places: pd.DataFrame, evaluation: str, draws: int, seed: int) -> Part:
    """Pictures of one evaluation. Groups are drawn in the order of their names: equal groups get equal draws."""
    own: Any = places[places["evaluation"] == evaluation].reset_index(drop=True)
    groups, codes = np.unique(own["group"].to_numpy(str), return_inverse=True)
    return Part(own, codes, bootstrap.draw_weights(len(groups), draws, np.random.default_rng([seed, 4])))


def single(columns: Sequence[str]) -> list[str]:
    """Classifiers that are no draw of a few-shot probe, in order."""
    return [name for name in columns if name not in TABLE and "-shot, draw " not in name]


def accuracies(own: Part, classes: int) -> dict[str, dict[str, Any]]:
    """Top-1, top-5 and mean per class of every classifier but the few-shot probes, in shares."""
    found: dict[str, dict[str, Any]] = {}
    labels = own.places["label"].to_numpy()
    for name in single(list(own.places.columns)):
        place = own.places[name].to_numpy()
        columns = np.stack([place < 1, place < 5], axis=1).astype(np.float64)
        first, five = bootstrap.mean_intervals(columns, own.codes, own.weights, spans=[(0.0, 1.0)] * 2)
        table = hits.by_class(place < 1, labels, classes)
        mean = bootstrap.interval(table, own.codes, own.weights, hits.mean_per_class(classes))
        if first.value in (0.0, 1.0):  # resampling equal items shows no spread
            mean = mean._replace(low=first.low, high=first.high)
        found[name] = {"top-1": estimate(first), "mean per class": estimate(mean)}
        if classes > 5:
            found[name]["top-5"] = estimate(five)
    return found


def curve(own: Part, shots: Sequence[int], draws: int, against: Sequence[str], seed: int) -> dict[str, Any] | None:
    """Few-shot accuracy (top-1) by k, and the crossings with other classifiers; None without few-shot probes."""
    if not shots:
        return None
    stacked = few_shot_hits(own.places, shots, draws)
    drawn = few_shot.curve(stacked, own.codes, own.weights, np.random.default_rng([seed, 5]))
    low, high = drawn.bounds()
    deviation = stacked.mean(axis=2).std(axis=0, ddof=1) if draws > 1 else np.full(len(shots), np.nan)
    points = [
        {
            "k": k,
            "value": float(drawn.value[at]),
            "low": float(low[at]),
            "high": float(high[at]),
            "deviation": None if np.isnan(deviation[at]) else float(deviation[at]),
        }
        for at, k in enumerate(shots)
    ]
    crossings = {
        name: _crossing(
            few_shot.crossing_interval(shots, drawn, (own.places[name] == 0).to_numpy(), own.codes, own.weights)
        )
        for name in against
    }
    return {"draws": draws, "n": len(own.places), "points": points, "crossings": crossings}


def few_shot_hits(places: pd.DataFrame, shots: Sequence[int], draws: int) -> np.ndarray:
    """Hits of the few-shot probes, bool (draws, k, pictures)."""
    names = [[SHOTS[1].format(k=k, draw=draw + 1) for k in shots] for draw in range(draws)]
    return np.stack([[(places[name] == 0).to_numpy() for name in row] for row in names])


def judge(places: pd.DataFrame, about: Mapping[str, Any], draws: int, seed: int) -> dict[str, Any]:
    """Scores of every evaluation, and the few-shot curve on the test pictures."""
    found: dict[str, Any] = {"evaluations": {}}
    for name in places["evaluation"].unique():
        own = part(places, name, draws, seed)
        found["evaluations"][name] = {"n": len(own.places), "scores": accuracies(own, about["classes"])}
        if name == TEST:
            few = about.get("few_shot", {})
            zero_shot = [one for one in single(list(own.places.columns)) if one != "probe"]
            found["few_shot"] = curve(own, few.get("shots", []), about["draws"], zero_shot, seed)
    return found


def _crossing(found: few_shot.Crossing) -> dict[str, Any]:
    """Numbers for JSON, which knows no infinity: "below" and "beyond" where the curve ends before."""
    words = {few_shot.BELOW: "below", few_shot.BEYOND: "beyond"}
    return {name: words.get(value, value) for name, value in found._asdict().items()}
