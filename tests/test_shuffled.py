"""The shuffled row: who gets whose caption, what that measures, what it leaves as it was. Ranks and their groups."""

import numpy as np
import pandas as pd
import pytest

import compared_systems
from retcap.analysis import ranks
from retcap.captioning.differences import SHUFFLED_ROW, differences, rank_groups
from retcap.captions import item_tables, scoring, shuffled
from retcap.captions.context import Context
from retcap.captions.pairs import align
from retcap.records import Difference

COLOURS = ("red", "green", "blue", "white", "black")


class Words(Context):
    """Words as tokens, without Java."""

    def ptb(self, texts):
        return [text.lower() for text in texts]


def world(looks: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ten pairs of five images and two queries, and one of a query of its own; a model that sees the colour or not."""
    pairs = [(f"{colour}.jpg", query, colour) for colour in COLOURS for query in ("bus", "sky")]
    pairs.append(("red.jpg", "sea", "red"))
    ids = [f"{image}|{query}" for image, query, _ in pairs]
    said = [f"there is a {colour if looks else 'red'} {query} on the picture" for _, query, colour in pairs]
    items = pd.DataFrame({"item_id": ids, "image": [p[0] for p in pairs], "image_key": None})
    items["query"] = [pair[1] for pair in pairs]
    items["references"] = [[f"there is a {colour} {query} on the picture"] for _, query, colour in pairs]
    return items, pd.DataFrame({"item_id": ids, "raw": said, "cleaned": said, "status": "ok"})


def scored(looks: bool, draws: int = 2):
    items, captions = world(looks)
    queries = dict(zip(items["item_id"], items["query"], strict=True))
    given = shuffled.partners(align(items, captions), queries, seed=0, draws=draws)
    with Words() as context:
        scores = scoring.score_captions(items, captions, ["bleu", "rouge_l"], context, partners=given)
    return scores, scoring.report(scores, rng=np.random.default_rng(0), draws=200)


def test_a_partner_has_the_query_and_another_image_and_each_caption_is_used_once_per_draw():
    items, captions = world(looks=True)
    queries = dict(zip(items["item_id"], items["query"], strict=True))
    given = shuffled.partners(align(items, captions), queries, seed=0, draws=6)
    assert "red.jpg|sea" not in given  # no other image was asked about the sea
    assert len(given) == 10
    for item, others in given.items():
        assert {queries[other] for other in others} == {queries[item]}
        assert item not in others
        assert len(set(others[:4])) == 4  # all four others, before they come again
        assert others[4:] == others[:2]
    for draw in range(4):
        assert len({others[draw] for others in given.values()}) == 10
    assert given != shuffled.partners(align(items, captions), queries, seed=1, draws=6)
    assert given == shuffled.partners(align(items.iloc[::-1], captions), queries, seed=0, draws=6)


def test_two_names_of_one_image_are_no_other_image():
    items, captions = world(looks=True)
    items["image_key"] = items["image"].replace({"green.jpg": "red.jpg"})
    queries = dict(zip(items["item_id"], items["query"], strict=True))
    given = shuffled.partners(align(items, captions), queries, seed=0, draws=9)
    assert "green.jpg|bus" not in given["red.jpg|bus"]
    assert "red.jpg|bus" not in given["green.jpg|bus"]


def test_a_model_that_looks_loses_by_it_and_one_that_does_not_loses_nothing():
    _, sees = scored(looks=True)
    _, blind = scored(looks=False)
    assert sees["metrics"]["rougeL"] == 1
    assert sees["shuffled"]["metrics"]["rougeL"] == pytest.approx(7 / 8)  # one word of eight is wrong
    own = [value for item, value in _items(blind) if not item.endswith("sea")]
    assert blind["shuffled"]["metrics"]["rougeL"] == pytest.approx(float(np.mean(own)))
    assert (sees["shuffled"]["num_samples"], sees["shuffled"]["draws"]) == (10, 2)
    assert "image:shuffled,draws:2" in sees["shuffled"]["details"]["bleu4"]["signature"]


def _items(_) -> list[tuple[str, float]]:
    table = item_tables.item_table(scored(looks=False)[0])
    return list(zip(table["item_id"], table["rougeL"], strict=True))


def test_every_other_number_is_as_it_is_without_a_shuffled_row():
    items, captions = world(looks=True)
    with Words() as context:
        plain = scoring.score_captions(items, captions, ["bleu", "rouge_l"], context)
    without = scoring.report(plain, rng=np.random.default_rng(0), draws=200)
    _, beside = scored(looks=True)
    kept = set(without) - {"shuffled", "metric_seconds"}
    assert {key: beside[key] for key in kept} == {key: without[key] for key in kept}


def test_the_loss_is_a_paired_difference_in_means_and_in_corpus_metrics(tmp_path):
    entries, tables = {}, {}
    for name, looks in (("sees", True), ("guesses", False)):
        scores, result = scored(looks)
        entries[name] = {"model_name": name, "status": "completed"} | result
        item_tables.item_table(scores).to_parquet(tmp_path / f"{name}.parquet")
        tables[name] = pd.read_parquet(tmp_path / f"{name}.parquet")
    summary = {"models": list(entries.values()), "baselines": []}
    for entry in entries.values():
        entry["metrics"]["cider"] = entry["metrics"]["bleu4"]  # the order of the table
    found = differences(summary, tables, "x", draws=200, seed=0)
    lost = {(one.first, one.metric): one for one in found if one.second == SHUFFLED_ROW}
    assert set(lost) == {(name, key) for name in entries for key in ("bleu4", "rougeL")}
    assert lost["sees", "rougeL"].difference == pytest.approx(1 / 8)
    for key in ("bleu4", "rougeL"):
        assert (lost["sees", key].n, lost["sees", key].clusters) == (10, 5)
        assert lost["sees", key].ci_low > 0.05
        assert lost["guesses", key].difference == pytest.approx(0, abs=0.02)
        assert lost["sees", key].p_holm is None  # no member of the family


def test_ranks_have_intervals_and_the_letters_of_the_tests():
    entries, tables = compared_systems.captions()
    summary = {"models": [entries["low"], entries["high"]], "baselines": []}
    found = differences(summary, tables, "x", draws=500, seed=0)
    ranked = {(one.metric, one.system): one for one in rank_groups(summary, tables, found, draws=500, seed=0)}
    assert set(ranked) == {(metric, name) for metric in ("cider", "bleu4") for name in ("low", "high")}
    first = ranked["cider", "high"]
    assert (first.rank_low, first.rank_high, first.group) == (1, 1, "a")
    assert ranked["cider", "low"].group == "b"


def test_two_identical_systems_share_ranks_and_a_letter():
    same = np.random.default_rng(0).normal(size=400)
    values, draws = {"a": 0.5, "b": 0.5, "c": 0.1}, {"a": same, "b": same, "c": same - 1}
    about = {"dataset": "x", "metric": "m", "n": 9, "clusters": 9, "difference": 0.0, "ci_low": 0.0, "ci_high": 0.0}
    tests = [Difference(**about, first="a", second="b", p=1.0, p_holm=1.0)]
    tests += [Difference(**about, first=name, second="c", p=0.001, p_holm=0.002) for name in "ab"]
    found = {one.system: one for one in ranks.rank("m", values, draws, tests)}
    assert [(found[name].rank_low, found[name].rank_high, found[name].group) for name in "abc"] == [
        (1, 2, "a"),
        (1, 2, "a"),
        (3, 3, "b"),
    ]
    lower = {one.system: one for one in ranks.rank("m", values, draws, tests, higher_is_better=False)}
    assert (lower["c"].rank_low, lower["c"].group) == (1, "a")
