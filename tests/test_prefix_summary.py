"""Scores over seeds with both uncertainties, the question of the prefix length, and the power of the design."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retcap.prefix import power, summary
from retcap.report.studies import prefix as page

BLEU = summary.BLEU
PICTURES, SEEDS = 40, (0, 1, 2)


def statistics(rng: np.random.Generator, level: float) -> np.ndarray:
    """Sums that corpus BLEU is made of: lengths, then matches and n-grams of four orders."""
    grams = np.array([9, 8, 7, 6])
    matches = rng.binomial(grams, level, (PICTURES, 4))
    return np.hstack([np.full((PICTURES, 2), 10), matches, np.tile(grams, (PICTURES, 1))]).astype(float)


def bleu(sums: np.ndarray) -> float:
    totals = sums.sum(axis=0)
    return float(np.prod(totals[2:6] / totals[6:]) ** 0.25)


def write(folder: Path, name: str, sums: np.ndarray, cider: np.ndarray, *, human: bool = False) -> None:
    ids = [f"{number:02d}" for number in range(PICTURES)]
    table = pd.DataFrame({"item_id": ids, "image": ids, "status": "ok"})
    columns: dict[str, Any] = {f"{BLEU}_held_out_statistics": list(sums), "cider_held_out": [[v] for v in cider]}
    columns |= {"draws_held_out": 1} | ({} if human else {f"{BLEU}_statistics": list(sums), "cider": cider})
    table.assign(**columns).to_parquet(folder / f"{name}.parquet")

    def detail(value: float | None, metric: str | None, reason: str | None = None) -> dict[str, Any]:
        return {"value": value, "metric": metric, "reason": reason, "ci_low": 0.1, "ci_high": 0.9}

    details = {BLEU: detail(bleu(sums), "bleu_coco"), "cider": detail(float(cider.mean()), "cider")}
    details |= {"spice": detail(None, "spice", "no parser"), "bleu4": detail(None, None, "not asked for")}
    held = {"details": details, "draws": 1}
    entry = {"run": name, "details": details, "held_out": held, "references": "held out" if human else "all"}
    (folder / f"{name}.json").write_text(json.dumps(entry))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("prefix")
    scores, models, rows, sums = folder / "scores", folder / "models", [], {}
    scores.mkdir()
    rng = np.random.default_rng(0)
    for length, level in ((1, 0.4), (10, 0.7), (20, 0.7)):
        for seed in SEEDS:
            name = f"r{length}s{seed}"
            sums[length, seed] = statistics(rng, level + 0.02 * seed)
            write(scores, name, sums[length, seed], rng.random(PICTURES) * level)
            row = {"run": name, "cell": f"c{length}s{seed}", "mapper": "mlp", "tuning": "tuned", "seed": seed}
            rows.append(row | {"prefix_length": length, "decoding": "greedy"})
            own = models / "job" / row["cell"]
            own.mkdir(parents=True)
            curves = {
                "train": [{"step": 1, "loss": 3.0}, {"step": 9, "loss": 2.0}],
                "eval": [{"step": 9, "eval_log_likelihood": -2.1}],
                "seconds": 5.0, "steps": 9, "stopped": "epochs",
            }  # fmt: skip
            cell = {"mapper": "mlp", "tuning": "tuned", "prefix_length": length, "seed": seed}
            about = {"cell": cell, "curves": curves, "parameters": {"mapper": 10 * length, "trained": 99}}
            (own / "config.json").write_text(json.dumps(about | {"captions": {"train": 7, "cut": 1, "valid": 3}}))
    rows.append(rows[0] | {"run": "lost", "seed": 3, "cell": "lost"})
    write(scores, "blind", statistics(rng, 0.2), rng.random(PICTURES) * 0.1)
    write(scores, "human", statistics(rng, 0.9), rng.random(PICTURES), human=True)
    (folder / "runs.json").write_text(json.dumps(rows))
    grid = summary.read(folder / "runs.json", [scores], [models / "job"])
    result, gains = summary.summarise(grid, "coco", [10, 20], 0.5, draws=200, seed=0)
    return SimpleNamespace(folder=folder, grid=grid, result=result, gains=gains, sums=sums)


def test_a_condition_is_the_mean_over_seeds_with_both_uncertainties_apart(made: SimpleNamespace):
    found = {one["prefix_length"]: one for one in made.result["conditions"]}
    assert list(found) == [1, 10, 20]
    score = found[10]["scores"][BLEU]
    values = [bleu(made.sums[10, seed]) for seed in SEEDS]
    assert score["seed_values"] == pytest.approx(values, rel=1e-9)
    assert score["value"] == pytest.approx(np.mean(values), rel=1e-9)
    assert score["seed_deviation"] == pytest.approx(np.std(values, ddof=1), rel=1e-9)
    assert score["low"] < score["value"] < score["high"]
    assert found[10]["scores"]["spice"] == {"value": None, "reason": "no parser"}
    assert "bleu4" not in found[10]["scores"]  # nobody asked for it
    assert (found[10]["parameters"]["mapper"], found[10]["steps"]) == (100, [9, 9, 9])
    assert made.result["missing"] == ["mlp tuned, prefix 1, greedy, seed 3"]


def test_the_interval_over_pictures_draws_the_same_pictures_for_all_seeds(made: SimpleNamespace):
    """Seeds with the same captions: the interval is that of one of them, and not narrower by the root of three."""
    one = made.grid.runs[3]
    rows, statistic = summary.over_seeds([one], BLEU)  # type: ignore[misc]
    thrice, mean = summary.over_seeds([one] * 3, BLEU)  # type: ignore[misc]
    weights = np.random.default_rng(0).multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES), 50).astype(float)
    assert mean(weights @ thrice) == pytest.approx(statistic(weights @ rows), rel=1e-12)


def test_differences_are_against_blind_and_human_and_between_lengths(made: SimpleNamespace):
    found = {(one.first, one.second, one.metric): one for one in made.gains}
    assert len(found) == 2 * (3 * 2 + 3)
    short, ten = "mlp tuned, prefix 1, greedy", "mlp tuned, prefix 10, greedy"
    against = found[ten, "blind", BLEU]
    assert against.difference == pytest.approx(
        made.result["conditions"][1]["scores"][BLEU]["value"] - made.result["baselines"]["blind"][BLEU]["value"]
    )
    assert against.ci_low is not None
    assert against.ci_low > 0
    assert (against.references, against.p_holm) == ("all", None)
    assert found[ten, "human", BLEU].references == "held out"
    assert found[short, ten, BLEU].p_holm is not None
    assert found[short, ten, BLEU].difference < 0


def test_the_question_of_the_prefix_length_has_an_answer_and_a_power(made: SimpleNamespace):
    [one] = made.result["questions"]
    values = [[100 * bleu(made.sums[length, seed]) for seed in SEEDS] for length in (10, 20)]
    expected = power.seed_test(*values)
    assert one["over_seeds"] == pytest.approx(expected._asdict(), rel=1e-9)
    assert one["power"] == pytest.approx(power.power(0.5, expected.deviation, 3), rel=1e-9)
    assert one["seeds_needed"] == power.seeds_needed(0.5, expected.deviation)
    assert one["over_pictures"]["low"] < expected.difference < one["over_pictures"]["high"]


def test_the_table_has_a_row_per_run_and_per_baseline(made: SimpleNamespace):
    table = summary.table(made.grid)
    assert len(table) == 9 + 2
    assert table["run"].tolist()[-2:] == ["blind", "human"]
    assert table[BLEU].notna().all()
    assert "bleu4" not in table


def test_the_section_of_the_page_says_what_the_summary_says(made: SimpleNamespace):
    folder = made.folder
    (folder / "summary.json").write_text(json.dumps(made.result))
    from retcap.analysis import compare

    compare.write(folder / "differences.json", made.gains)
    (folder / "features").mkdir(exist_ok=True)
    (folder / "features/about.json").write_text(
        json.dumps({"pictures": {"train": 7, "test": 40}, "rejected": {"x": 2}})
    )
    files = SimpleNamespace(
        summary=folder / "summary.json",
        differences=folder / "differences.json",
        features=folder / "features",
        models=[str(folder / "models/job"), "lost"],
        scores=[],
    )
    said = SimpleNamespace(metrics=[], said={"lost": "mlp tuned k=1 seed 3"})
    section = page.section(page.inputs(files, said, {"lost": SimpleNamespace(why="out of memory")}), "demo")
    assert section["failed"] == [{"name": "mlp tuned k=1 seed 3", "on": "", "reason": "out of memory"}]
    assert section["few"]
    assert section["titles"] == ["BLEU-4", "CIDEr", "SPICE"]
    assert [plot["decoding"] for plot in section["plots"]] == ["greedy"]
    first, question = page.opening(section)[1:]
    assert first.startswith("Prefix captions reach BLEU-4 ")
    assert "points above one caption for every picture (95 % interval over pictures" in first
    assert question.startswith("Prefix lengths 10 and 20 (mlp tuned, greedy) ")
    assert [anchor for anchor, _ in page.contents(section)] == [
        *("prefix-scores", "prefix-length", "prefix-question", "prefix-differences", "prefix-training")
    ]


@pytest.mark.parametrize(("difference", "deviation", "seeds"), [(1.0, 1.0, 5), (0.5, 1.5, 12), (2.0, 1.0, 3)])
def test_the_power_is_how_often_the_test_finds_the_difference(difference: float, deviation: float, seeds: int):
    rng = np.random.default_rng(1)
    draws = rng.normal(difference, deviation, (2000, seeds))
    found = np.mean([(power.seed_test(row, np.zeros(seeds)).p or 1) < power.LEVEL for row in draws])
    # a share of 2,000 has a standard error of at most 0.011
    assert found == pytest.approx(power.power(difference, deviation, seeds), abs=4 * 0.0112)


@pytest.mark.parametrize("deviation", [0.3, 1.0, 2.7])
def test_so_many_seeds_and_no_fewer(deviation: float):
    seeds = power.seeds_needed(0.5, deviation)
    assert seeds is not None
    assert power.power(0.5, deviation, seeds) >= power.POWER > power.power(0.5, deviation, seeds - 1)
    assert power.seeds_needed(0.5, 1e4) is None


def test_one_seed_and_equal_differences_have_no_interval():
    assert power.seed_test([2.0], [1.0]) == (1, 1.0, None, None, None, None)
    assert power.seed_test([2.0, 3.0], [1.0, 2.0]) == (2, 1.0, 0.0, None, None, None)
    assert power.power(0.5, 0.0, 3) == 1.0
    assert power.power(0.5, 1.0, 1) == 0.0
