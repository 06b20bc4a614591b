"""Sums up the study: the long table, differences between classifiers and encoders, robustness over all of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retcap.analysis import bootstrap, compare
from retcap.analysis.compare import Pair, Rows
from retcap.features.encoders import PIXELS
from retcap.records import Difference
from retcap.transfer import results
from retcap.transfer.robust_sets import Judged, robust, share
from retcap.transfer.scoring import PROBE, TEST

Tables = dict[str, dict[str, Any]]  # set -> encoder -> one
TOP_1 = "top-1"
COLUMNS = ("set", "encoder", "evaluation", "classifier", "metric", "value", "low", "high", "n")


def summarise(
    records: Mapping[str, Mapping[str, Any]], places: Mapping[str, Mapping[str, pd.DataFrame]], **how: int
) -> dict:
    """Robustness of all encoders by set; `records` and `places`: set -> encoder -> what `score` gave."""
    found = {}
    for name, own in records.items():
        judged = {
            encoder: Judged(places[name][encoder], {"few_shot": record["few_shot_setting"]})
            for encoder, record in own.items()
            if TEST in record["evaluations"]
        }
        found[name] = robust(judged, how["draws"], how["seed"]) if judged else {}
    return found


def differences(
    records: Mapping[str, Mapping[str, Any]], places: Mapping[str, Mapping[str, pd.DataFrame]], *, draws: int, seed: int
) -> list[Difference]:
    """Paired differences in top-1 accuracy on the test pictures of every set, with interval, p and Holm's p.

    Within an encoder: its ensemble against one template, one template against the bare name, its probe against the
    ensemble. Between encoders: probe against probe, best zero-shot against best zero-shot; these form the family, but
    for the pairs with raw pixels.
    """
    found = []
    for name, own in records.items():
        tables = {
            encoder: results.part(places[name][encoder], TEST, draws, seed) for encoder in own if _judged(own[encoder])
        }
        _check_same(name, tables)
        rng = np.random.default_rng([seed, 7])
        found += compare.compare(_pairs(name, own, tables), lambda rng=rng: rng, draws)
    return found


def rows(records: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row per set, encoder, evaluation, classifier and metric: the long table of the study."""
    for name, own in records.items():
        for encoder, record in own.items():
            about = {"set": name, "encoder": encoder}
            for evaluation, judged in record["evaluations"].items():
                for classifier, scores in judged["scores"].items():
                    for metric, value in scores.items():
                        row = {"evaluation": evaluation, "classifier": classifier, "metric": metric}
                        yield about | row | value | {"n": judged["n"]}
            for point in (record.get("few_shot") or {}).get("points", []):
                row = {"evaluation": TEST, "classifier": f"{point['k']}-shot", "metric": TOP_1}
                yield (
                    about | row | {key: point[key] for key in ("value", "low", "high")} | {"n": record["few_shot"]["n"]}
                )
            for way in ("image to text", "text to image") if record["retrieval"] else ():
                for metric, value in record["retrieval"][way].items():
                    yield about | {"evaluation": TEST, "classifier": way, "metric": metric} | value


def read(scores: Sequence[tuple[str, str, str]], failed: Mapping[str, Any]) -> tuple[Tables, Tables]:
    """Records and places, set -> encoder, of what did not fail. `scores`: set, encoder, folder; `failed` by folder."""
    records: Tables = {name: {} for name, _, _ in scores}
    places: Tables = {name: {} for name, _, _ in scores}
    for name, encoder, folder in scores:
        if folder not in failed:
            file = Path(folder, encoder, name)
            records[name][encoder] = json.loads(file.with_name(f"{name}.json").read_text(encoding="utf-8"))
            places[name][encoder] = pd.read_parquet(file.with_name(f"{name}.parquet"))
    return records, places


def _judged(record: Mapping[str, Any]) -> bool:
    return TEST in record["evaluations"]


def _pairs(dataset: str, records: Mapping[str, Any], tables: Mapping[str, results.Part]) -> Iterator[Pair]:
    best = {}
    for encoder, table in tables.items():
        zero_shot = [name for name in results.single(list(table.places.columns)) if name != PROBE]
        order = [*zero_shot[::-1]]  # ensemble, one template, bare name
        chain = [*([PROBE] if PROBE in table.places else []), *order]
        for first, second in pairwise(chain):
            yield _pair(dataset, (encoder, first), (encoder, second), tables)
        best[encoder] = order[:1]
    names = list(tables)
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            family = PIXELS not in (first, second)
            if PROBE in tables[first].places and PROBE in tables[second].places:
                yield _pair(dataset, (first, PROBE), (second, PROBE), tables, family)
            if best[first] and best[second]:
                yield _pair(dataset, (first, best[first][0]), (second, best[second][0]), tables, family)


def _pair(
    dataset: str,
    first: tuple[str, str],
    second: tuple[str, str],
    tables: Mapping[str, results.Part],
    family: bool = False,
) -> Pair:
    a, b = (share(tables[encoder].places, [name]) for encoder, name in (first, second))
    about = {"dataset": dataset, "first": ": ".join(first), "second": ": ".join(second), "metric": TOP_1}
    codes = tables[first[0]].codes
    return Pair(
        about, len(a), Rows(bootstrap.mean_table(a), bootstrap.mean_table(b), codes, values=a - b), family=family
    )


def _check_same(dataset: str, tables: Mapping[str, results.Part]) -> None:
    names = list(tables)
    for name in names[1:]:
        own, other = (tables[one].places[["name", "label"]] for one in (names[0], name))
        if not own.equals(other):
            raise ValueError(
                f"{dataset}: {names[0]} and {name} were judged on different pictures. Embed the set with both again."
            )
