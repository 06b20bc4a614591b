"""Differences between systems: one layer for both studies, with the numbers that each study had before it."""

import csv
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

import compared_systems
from retcap.analysis import compare, ranks
from retcap.captioning.differences import differences as of_captions
from retcap.jobs.failures import record
from retcap.jobs.failures.record import Failure
from retcap.records import Difference
from retcap.retrieval.differences import pairs
from workflow_script import run_script

# Computed at commit 77b1b91, when each study compared for itself; captioning with 1000 draws and seed 0, its only ones.
# References, metric, first, second -> difference, ci_low, ci_high, p, p_holm. None: nothing was computed.
RETRIEVAL = {
    ("R@5", "a", "b"): (0.175, 0.025, 0.3, 0.05979402059794021, 0.05979402059794021),
    ("R@5", "a", "blind"): (0.7, 0.575, 0.825, 9.999000099990002e-05, None),
    ("R@5", "b", "blind"): (0.525, 0.35, 0.675, 0.00019998000199980003, None),
    ("PR@5", "a", "b"): (0.1875, 0.0293939393939394, 0.3529411764705882, 0.10798920107989202, 0.10798920107989202),
    ("PR@5", "a", "blind"): (0.71875, 0.6111111111111112, 0.8509733036707446, 0.00019998000199980003, None),
    ("PR@5", "b", "blind"): (0.53125, 1 / 3, 0.71875, 0.00019998000199980003, None),
}
MODELS = (0.375, 0.175, 0.575, 0.013798620137986202, 0.013798620137986202)
BASELINES = {  # references, metric, first, second -> difference, ci_low, ci_high
    ("all", "bleu4", "high", "blind"): (0.13069587550782924, 0.06426001364547773, 0.20387395195928062),
    ("all", "bleu4", "low", "blind"): (-0.07711146481271672, -0.12120415061302547, -0.02806762294586578),
    ("all", "cider", "high", "blind"): (0.3653846153846154, 0.16983653846153865, 0.5482638888888888),
    ("all", "cider", "low", "blind"): (0.028846153846153855, -0.1388888888888889, 0.19444444444444442),
    ("held out", "cider", "high", "human"): (0.045, -0.04077309782608696, 0.12152777777777779),
    ("held out", "cider", "low", "human"): (-0.08625, -0.1719308035714285, -0.01004464285714285),
    ("held out", "cider", "blind", "human"): (-0.08948863636363635, -0.1579652255639097, -0.01872767857142858),
}


def test_retrieval_has_the_numbers_that_it_had():
    rng = np.random.default_rng(7)
    asked = pairs(compared_systems.hits(), "x", ("R@5", "PR@5"), ["blind"])
    found = compare.compare(asked, lambda: rng, draws=300)
    assert [(one.metric, one.first, one.second) for one in found] == list(RETRIEVAL)
    for one, numbers in zip(found, RETRIEVAL.values(), strict=True):
        shown = (one.difference, one.ci_low, one.ci_high, one.p)
        assert shown == pytest.approx(numbers[:4], rel=1e-12), one  # fp64 sums of 40 hits
        assert one.p_holm == numbers[4]
        assert (one.n, one.clusters) == (40 if one.metric == "R@5" else 32, 20)


def captioning(draws: int = 1000, seed: int = 0) -> dict[tuple, Difference]:
    entries, tables = compared_systems.captions()
    summary = {
        "models": [entries["low"], entries["high"], {"model_name": "lost", "status": "failed"}],
        "baselines": [entries["human"], entries["blind"]],
    }
    found = of_captions(summary, tables, "x", draws=draws, seed=seed)
    return {(one.references, one.metric, one.first, one.second): one for one in found}


def test_captioning_has_the_numbers_that_the_page_had():
    found = captioning()
    models = {("all", metric, "high", "low") for metric in ("bleu4", "cider")}  # the better one first
    assert set(found) == set(BASELINES) | models
    one = found["all", "cider", "high", "low"]
    assert (one.difference, one.ci_low, one.ci_high, one.p, one.p_holm) == pytest.approx(MODELS, rel=1e-12)
    for key, numbers in BASELINES.items():
        one = found[key]
        shown = (one.difference, one.ci_low, one.ci_high)
        assert shown == pytest.approx(numbers, rel=1e-9, abs=1e-12), key  # fp64 sums, logarithms in BLEU
        assert one.p is not None
        assert one.p_holm is None
    assert {found[key].n for key in BASELINES if key[3] == "blind"} == {26}  # what the blind one has a caption for
    assert found["held out", "cider", "low", "human"].n == 25
    assert found["held out", "cider", "blind", "human"].n == 22


def test_draws_and_seed_of_the_configuration_reach_captioning():
    key = ("all", "cider", "high", "low")
    base, draws, seed = captioning()[key], captioning(draws=200)[key], captioning(seed=1)[key]
    assert base.difference == draws.difference == seed.difference
    assert (base.ci_low, base.ci_high) != (draws.ci_low, draws.ci_high)
    assert draws.p == base.p  # the test swaps, it does not draw
    assert seed.p != base.p
    assert captioning(seed=1)[key] == seed


def test_the_summary_writes_them_beside_a_system_that_failed(tmp_path: Path):
    entries, tables = compared_systems.captions()
    paths = {"metrics": [], "scores": []}
    for name, entry in entries.items():
        for detail in entry["details"].values():
            detail |= {"reason": None, "failed": False}
        places = tmp_path / f"{name}.json", tmp_path / f"{name}.parquet"
        if name == "low":
            lost = Failure("error", "score_captions", {"system": name}, "OSError: disk full", "low.log")
            for place in places:
                record.write(lost, place, folder=False)
        else:
            places[0].write_text(json.dumps(entry))
            tables[name].to_parquet(places[1])
        for kind, place in zip(paths, places, strict=True):
            paths[kind].append(str(place))
    (tmp_path / "coverage.json").write_text(json.dumps({"first_look": {"first_pairs": 3, "of": 9}}))
    run_script(
        tmp_path,
        "summarise_captioning",
        inputs=paths | {"coverage": str(tmp_path / "coverage.json")},
        outputs={
            "summary": "summary.json",
            "differences": "differences.json",
            "differences_csv": "differences.csv",
            "ranks": "ranks.csv",
        },
        params={
            "models": ["low", "high"],
            "baselines": ["blind", "human"],
            "split": "test",
            "dataset": "x",
            "draws": 1000,
            "seed": 0,
        },
    )
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["failures"] == {"low": "OSError: disk full (score_captions low)"}
    assert summary["first_look"] == {"first_pairs": 3, "of": 9}
    found = msgspec.json.decode((tmp_path / "differences.json").read_bytes(), type=list[Difference])
    assert {(one.first, one.second) for one in found} == {("high", "blind"), ("high", "human"), ("blind", "human")}
    with open(tmp_path / "differences.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["first"], row["second"], float(row["difference"])) for row in table] == [
        (one.first, one.second, one.difference) for one in found
    ]
    assert ranks.read(tmp_path / "ranks.csv") == []  # one model is left: there is nothing to rank
    whole = captioning()
    assert [whole[one.references, one.metric, one.first, one.second] for one in found] == found


def test_a_study_without_models_has_no_pair_of_them():
    entries, tables = compared_systems.captions()
    summary = {"models": [], "baselines": [entries["human"], entries["blind"]]}
    [one] = of_captions(summary, tables, "x", draws=100, seed=0)
    assert (one.references, one.first, one.second) == ("held out", "blind", "human")
    assert of_captions({"models": [], "baselines": []}, {}, "x", draws=100, seed=0) == []


def test_a_metric_of_the_corpus_alone_has_a_difference_without_interval():
    entries, tables = compared_systems.captions()
    bare = {name: table.drop(columns=["cider"]) for name, table in tables.items() if name in ("low", "high")}
    summary = {"models": [entries["low"], entries["high"]], "baselines": []}
    found = {one.metric: one for one in of_captions(summary, bare, "x", draws=100, seed=0)}
    one = found["cider"]
    assert (one.difference, one.ci_low, one.p, one.p_holm, one.n) == (pytest.approx(0.375), None, None, None, 0)
    assert found["bleu4"].p_holm == found["bleu4"].p  # one is left in the family


def test_holm_runs_over_the_pairs_of_one_data_set_metric_and_kind_of_references():
    rows = compare.Rows(*np.array([[[1.0, 1.0]] * 8, [[0.0, 1.0]] * 8]), np.arange(8))

    def pair(family: bool = True, **own: str) -> compare.Pair:
        return compare.Pair({"dataset": "x", "first": "a", "second": "b", "metric": "m"} | own, 8, rows, family=family)

    asked = [pair(), pair(second="c"), pair(False, second="d"), pair(dataset="y"), pair(metric="n")]
    found = compare.compare([*asked, pair(references="held out")], lambda: np.random.default_rng(0), 50, rounds=999)
    p = found[0].p
    assert p is not None
    assert {one.p for one in found} == {p}
    assert [one.p_holm for one in found] == [2 * p, 2 * p, None, p, p, p]


def test_the_file_says_which_references_where_there_are_several_kinds(tmp_path: Path):
    names = {"dataset": "x", "first": "a", "second": "b", "metric": "m", "n": 3, "clusters": 2, "difference": 0.5}
    rest = {"ci_low": None, "ci_high": None, "p": 0.25, "p_holm": None}
    compare.write(tmp_path / "d.json", [Difference(**names, **rest), Difference(**names, **rest, references="all")])
    assert json.loads((tmp_path / "d.json").read_text()) == [names | rest, names | rest | {"references": "all"}]
    with pytest.raises(ValueError, match="Out of range float"):
        compare.write(tmp_path / "d.json", [Difference(**names | {"difference": float("nan")}, **rest)])
