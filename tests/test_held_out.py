"""A comparison with human captions judges both sides on the same pairs against the same references."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retcap import plugins
from retcap.captioning.differences import differences
from retcap.captions import baselines, clean, files, held_out, item_tables, places, scoring
from retcap.captions.context import Context
from retcap.captions.frequencies import count_documents
from retcap.report.caption_differences import human_table
from retcap.report.scores import System

METRICS = ["bleu", "bleu_coco", "rouge_l", "cider"]
WORDS = ["a", "red", "blue", "bus", "cat", "runs", "sits", "on", "the", "wet", "road", "mat", "near", "two", "men"]


class Spaces(Context):
    """Tokens are words between spaces: no JVM."""

    def ptb(self, texts):
        return list(texts)


def split(count: int, seed: int = 0) -> pd.DataFrame:
    """Pairs with one to six references of random words; three pairs per image."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            {
                "item_id": f"{number:03d}",
                "image": f"{number // 3}.jpg",
                "image_key": None,
                "query": "sea",
                "references": [" ".join(rng.choice(WORDS, rng.integers(3, 12))) for _ in range(1 + number % 6)],
            }
            for number in range(count)
        ]
    )


def say(items: pd.DataFrame, captions: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"item_id": items["item_id"], "raw": captions, "cleaned": captions, "status": "ok"})


def score(items, captions, held):
    context = Spaces(count_documents(items["references"]))
    scores = scoring.score_captions(items, captions, METRICS, context, held)
    return scores, scoring.report(scores, rng=np.random.default_rng(0), draws=100)


def compared(items: pd.DataFrame, systems: dict[str, pd.DataFrame], held) -> dict:
    """The report's table beside the human captions, by system and metric."""
    found, tables = [], {}
    for name, captions in systems.items():
        scores, record = score(items, captions, held)
        entry = record | {"model_name": name, "status": "completed"}
        found.append(System(name, entry, baseline=name in ("human", "blind")))
        tables[name] = item_tables.item_table(scores)
    summary = {
        part: [system.record for system in found if system.baseline == (part == "baselines")]
        for part in ("models", "baselines")
    }
    return human_table(found, differences(summary, tables, "x", draws=1000, seed=0))


@pytest.mark.parametrize("draws", [1, 4])
def test_who_says_what_the_human_says_scores_as_the_human_does(draws):
    """Scored against all references, such a model met its own caption among them: BLEU 1.000, far above the human."""
    items = split(60)
    human = clean.clean_captions(baselines.human(items, seed=1, draws=draws))
    held = places.of_human(human)
    if draws > 1:  # one caption cannot follow four draws: let all draws hold out the same reference
        held = {item: [places[0]] * draws for item, places in held.items()}
        human["held_out"] = [held.get(item) for item in human["item_id"]]
    copy = say(items, list(human["cleaned"]))
    table = compared(items, {"model": copy, "human": human}, held)
    rows = {row["system"].name: row["cells"] for row in table["rows"]}
    assert set(rows["model"]) == {"bleu4", "rougeL", "cider"}
    for key, cell in rows["model"].items():
        assert cell["value"] == pytest.approx(rows["human"][key]["value"], abs=1e-12)
        difference = cell["difference"]
        assert (difference.value, difference.low, difference.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_values_are_the_means_of_their_draws():
    items, draws = split(48), 3
    human = clean.clean_captions(baselines.human(items, seed=2, draws=draws))
    held = places.of_human(human)
    model = say(items, [" ".join(WORDS[number % 9 : number % 9 + 6]) for number in range(len(items))])
    several = items[[len(references) > 1 for references in items["references"]]].reset_index(drop=True)
    idf = count_documents(items["references"])
    for captions, name in ((model, "model"), (human, "human")):
        _, record = score(items, captions, held)
        by_draw = []
        for draw in range(draws):
            out = [held[item][draw] for item in several["item_id"]]
            rest = [
                [text for number, text in enumerate(references) if number != place]
                for references, place in zip(several["references"], out, strict=True)
            ]
            said = [references[place] for references, place in zip(several["references"], out, strict=True)]
            if name == "model":
                said = list(model.set_index("item_id").loc[several["item_id"], "raw"])
            alone = scoring.score_captions(several.assign(references=rest), say(several, said), METRICS, Spaces(idf))
            by_draw.append({key: result.value for key, result in alone.results.items()})
        assert record["held_out"]["draws"] == draws
        assert record["held_out"]["num_samples"] == len(several) == 40
        for key, detail in record["held_out"]["details"].items():
            if detail["value"] is not None:
                assert detail["value"] == pytest.approx(np.mean([one[key] for one in by_draw]), abs=1e-12), (name, key)
                assert detail["ci_low"] <= detail["value"] <= detail["ci_high"]
                assert detail["signature"].endswith("|refs:held-out,draws:3")
    assert record["references"] == "held out"
    assert record["metrics"] == record["held_out"]["metrics"]  # the human has no others


def test_a_model_keeps_its_values_against_all_references():
    items = split(30)
    held = places.of_human(baselines.human(items, seed=0, draws=2))
    model = say(items, ["a red bus on the road"] * len(items))
    (_, alone), (scores, beside) = score(items, model, None), score(items, model, held)
    assert alone["held_out"] is None
    assert beside["references"] == "all"
    for key in ("num_samples", "metrics", "details", "counts", "raw_metrics"):
        assert beside[key] == alone[key]  # intervals too: the same draws
    assert beside["held_out"]["metrics"]["cider"] != alone["metrics"]["cider"]
    table = item_tables.item_table(scores)
    assert len(table) == 30
    assert table["cider_held_out"].notna().sum() == 25  # every sixth pair has one reference


def test_the_item_table_survives_its_file(tmp_path):
    items = split(30)
    human = clean.clean_captions(baselines.human(items, seed=0, draws=2))
    held = places.of_human(human)
    for number, captions in enumerate((human, say(items, ["a red bus"] * 30))):
        table = item_tables.item_table(score(items, captions, held)[0])
        table.to_parquet(tmp_path / f"{number}.parquet")
        back = pd.read_parquet(tmp_path / f"{number}.parquet")
        assert list(back) == list(table)
        known = table["bleu4_held_out"].notna()
        assert list(back["bleu4_held_out"].notna()) == list(known)
        for key, metric in (("bleu4", "bleu"), ("cider", "cider")):
            (rows, statistic), (again, _) = (
                item_tables.table_and_statistic(one[known.to_numpy()], key, metric, "_held_out")
                for one in (table, back)
            )
            np.testing.assert_array_equal(rows, again)
            assert rows.shape == (25, 2 * 10 if key == "bleu4" else 2)
            assert np.isfinite(statistic(rows.sum(axis=0)))


def test_the_human_captions_are_never_scored_against_themselves():
    items = split(30)
    human = clean.clean_captions(baselines.human(items, seed=0, draws=2))
    scores, record = score(items, human, places.of_human(human))
    assert not any(text in references for text, references in _judged(scores.held_out.pairs))
    assert "cider" not in item_tables.item_table(scores)
    assert record["counts"] == {"ok": 25, "failed": 0, "empty": 0, "cleaned_to_empty": 0, "excluded": 5}


def _judged(pairs):
    return list(zip(pairs.cleaned, pairs.references, strict=True))


def test_without_a_second_reference_there_is_no_human_row_and_a_reason():
    items = split(6).assign(references=[["a red bus"]] * 6)
    human = clean.clean_captions(baselines.human(items, seed=0, draws=2))
    _, record = score(items, human, places.of_human(human))
    assert record["metrics"] == dict.fromkeys(scoring.PROMISED)
    assert record["details"]["cider"]["reason"] == "There is no pair with a reference."
    _, model = score(items, say(items, ["a bus"] * 6), places.of_human(human))
    assert model["held_out"] is None


def test_blind_stands_in_the_table_with_its_interval():
    items = split(60)
    human = clean.clean_captions(baselines.human(items, seed=1, draws=3))
    systems = {"human": human, "blind": say(items, ["a red bus on the road"] * 60), "model": say(items, ["a cat"] * 60)}
    table = compared(items, systems, places.of_human(human))
    assert [row["system"].name for row in table["rows"]] == ["human", "model", "blind"]
    assert (table["draws"], table["pairs"], table["alone"]) == (3, 50, 10)
    blind = table["rows"][2]["cells"]["cider"]["difference"]
    assert blind.value == pytest.approx(
        table["rows"][2]["cells"]["cider"]["value"] - table["rows"][0]["cells"]["cider"]["value"], abs=1e-12
    )
    assert blind.low < blind.value < blind.high


@given(st.integers(0, 99), st.text(max_size=5), st.integers(2, 9), st.integers(1, 20))
def test_draws_use_every_reference_alike(seed, item, count, draws):
    found = places.places(seed, item, count, draws)
    times = [found.count(place) for place in range(count)]
    assert len(found) == draws == sum(times)
    assert max(times) - min(times) <= 1


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 9))
def test_folding_keeps_pairs_together(draws, seed):
    """Statistics of one pair's draws side by side, in the order of the pairs."""
    module, pairs = plugins.load("metrics", "bleu"), 4
    rng = np.random.default_rng(seed)
    said = [" ".join(rng.choice(WORDS, 7)) for _ in range(pairs * draws)]
    others = [[" ".join(rng.choice(WORDS, 7))] for _ in range(pairs * draws)]
    found = module.score(said, others, Spaces())
    folded = held_out.fold(found, module, draws)["bleu4"]
    assert folded.items.shape == (pairs, draws)
    assert folded.statistics.shape == (pairs, draws, 10)
    assert folded.items[2, -1] == found["bleu4"].items[3 * draws - 1]
    assert folded.n == pairs


def test_captions_name_their_draws_through_the_files(tmp_path):
    human = baselines.human(split(9), seed=0, draws=3)
    files.write_captions(tmp_path / "human.parquet", clean.clean_captions(human))
    back = files.read_captions(tmp_path / "human.parquet")
    assert places.of_human(back) == places.of_human(human)
    assert len(places.of_human(back)) == 7
