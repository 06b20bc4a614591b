"""The last lines of a run: tables, records set aside and the report, read from small result files."""

import csv
import json
import os
from pathlib import Path

import pytest

from retcap import metric_titles, plugins, studies
from retcap.config import resolve
from retcap.plan import Plan, StudyPlan
from retcap.retrieval.summary import published_rows
from retcap.terminal import closing

CONFIG = {
    "experiment": "toy",
    "studies": ["retrieval", "captioning"],
    "seed": 0,
    "retrieval": {
        "datasets": {"m2kr_oven": {}, "m2kr_evqa": {}},
        "retrievers": {"ret2": {}},
        "training": {"seeds": [0, 7]},
    },
    "captioning": {"csv": None, "predictions": {}},
}
RESULTS = Path("results/toy")
COLUMNS = ("system", "dataset", "metric", "value", "floor", "dialect", "source")
LONG_AGO = 1_600_000_000


def running(**values: object) -> list[StudyPlan]:
    return studies.running(studies.plans(Plan(CONFIG | values, Path("workflow"))))


def row(system: str, dataset: str, value: float, metric: str = "R@5", dialect: str = "strict") -> dict[str, object]:
    values = (system, f"m2kr_{dataset}", metric, value, 0.013 if metric == "R@5" else "", dialect, "measured")
    return dict(zip(COLUMNS, values, strict=True))


def entry(name: str, kind: str = "model", reason: str | None = None, **values: float | None) -> dict:
    found = {
        key: {"value": value, "metric": "spice", "reason": None if value is not None else "no CoreNLP"}
        for key, value in values.items()
    }
    status = "failed" if reason else "completed"
    return {"model_name": name, "kind": kind, "status": status, "reason": reason, "details": found}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of both studies: two systems on two sets, one model that failed, one line set aside."""
    monkeypatch.chdir(tmp_path)
    folder = RESULTS
    (folder / "retrieval").mkdir(parents=True)
    with (folder / "retrieval/results.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows([row("random", "oven", 0.01), row("ret2", "oven", 0.405), row("ret2", "evqa", 0.195)])
        table.writerows([row("ret2", "oven", 0.2, metric="R@1"), row("ret2", "oven", 0.9, dialect="flmr")])
        for one in published_rows(["m2kr_oven"]).head(3).to_dict("records"):
            table.writerow({name: one.get(name, "") for name in COLUMNS})
    models = [
        entry("llava", cider=2.391, bleu4=0.56, meteor=None, spice=None)
        | {"failed_pairs": {"failed": 2, "of": 9, "first": "OSError: torn", "tried_again": True}},
        entry("qwen", reason="OSError: no such model"),
    ]
    summary = {
        "total": 2,
        "completed": 1,
        "failures": {"qwen": "OSError: no such model", "blind": "OSError: disk full"},
        "not_computed": [
            {"metric": "meteor", "systems": ["llava"], "reason": "no Java", "failed": True},
            {"metric": "spice", "systems": ["llava", "human"], "reason": "no CoreNLP", "failed": False},
        ],
        "models": models,
        "baselines": [
            entry("human", "baseline", cider=3.36, bleu4=0.407, meteor=0.385, spice=None) | {"references": "held out"},
            entry("blind", "baseline", reason="OSError: disk full"),
        ],
    }
    (folder / "captioning").mkdir()
    (folder / "captioning/all_models_summary.json").write_text(json.dumps(summary))
    for name in ("retrieval/normalised/m2kr_oven/test", "retrieval/normalised/m2kr_oven/train", "captioning"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "quarantine.jsonl").write_text("" if name.endswith("test") else '{"reason": "\u2028"}\n')
    (folder / "report.html").write_text("a page")
    return folder


def test_all_tables_stand_in_the_last_lines_of_a_whole_run(results: Path):
    text = closing.block(results, running(), started=0)
    assert (
        text
        == f"""Retrieval: R@5 in percent of the queries
        OVEN  E-VQA
ret2    40.5   19.5
random   1.0      –
chance   1.3    1.3

Captioning: 1 of 2 models completed
                  BLEU-4  METEOR  CIDEr
llava              0.560       –  2.391
human (baseline)   0.407   0.385  3.360
(human: against one reference fewer; the report has all against the same ones)
qwen failed: OSError: no such model
blind failed: OSError: disk full
llava: 2 of 9 pairs failed and count as zero (the first: OSError: torn); the next run tries them again.
METEOR of llava was not computed: no Java.
SPICE of llava, human was not computed: no CoreNLP.

Records set aside
1 of OVEN: {results}/retrieval/normalised/m2kr_oven/train/quarantine.jsonl
1 of captions: {results}/captioning/quarantine.jsonl

Report: {results}/report.html"""
    )


def test_systems_that_failed_and_several_trainings_stand_in_the_table_of_retrieval(results: Path):
    names = ("retriever", "dataset", "metric", "trainings", "seeds", "mean", "standard_deviation", "lowest", "highest")
    values = ("ret2", "m2kr_oven", "R@5", 2, "0 7", 0.4, 0.0071, 0.395, 0.405)
    with (results / "retrieval/trainings.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerow(dict(zip(names, values, strict=True)))
    reason = "failed: MemoryError (embed_retrieval bad)"
    with (results / "retrieval/results.csv").open("a", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writerow(row("ret2-seed7", "oven", 0.395))
        table.writerows({"system": "bad", "dataset": f"m2kr_{one}", "source": reason} for one in ("oven", "evqa"))
    text = closing.block(results, running(), started=0)
    assert text.startswith("""Retrieval: R@5 in percent of the queries
                         OVEN  E-VQA
ret2                     40.5   19.5
ret2-seed7               39.5      –
random                    1.0      –
ret2, 2 trainings  40.0 ± 0.7      –
chance                    1.3    1.3
bad failed: MemoryError (embed_retrieval bad)
""")


def test_a_human_row_of_generated_captions_says_so(results: Path):
    config = resolve({"experiment": "toy", "studies": ["captioning"]})
    generated = studies.running(studies.plans(Plan(config, Path("workflow"))))
    assert "human (baseline, generated)   0.407" in closing.block(results, generated, started=0)
    assert "human (baseline)  " in closing.block(results, running(), started=0)


def test_what_a_run_has_not_made_is_left_out_and_an_old_report_is_called_old(results: Path):
    for name in ("report.html", "retrieval/results.csv"):
        os.utime(results / name, (LONG_AGO, LONG_AGO))
    text = closing.block(results, running(), started=LONG_AGO + 1)
    assert "Retrieval" not in text
    assert "Captioning: 1 of 2" in text
    assert "The report is of 2020-09-1" in text
    assert "this run has not written it anew" in text
    (results / "report.html").unlink()
    os.utime(results / "captioning/all_models_summary.json", (LONG_AGO, LONG_AGO))
    assert closing.block(results, running(), started=LONG_AGO + 1) == ""


def test_a_new_report_brings_the_tables_of_all_studies_it_shows(results: Path):
    os.utime(results / "retrieval/results.csv", (LONG_AGO, LONG_AGO))
    assert "Retrieval: R@5" in closing.block(results, running(), started=LONG_AGO + 1)
    assert "Retrieval" not in closing.block(results, running(studies=["captioning"]), started=LONG_AGO + 1)


def test_broken_result_files_do_not_fail_a_run(results: Path, caplog: pytest.LogCaptureFixture, monkeypatch):
    monkeypatch.setattr(closing, "STARTED", 0)
    (results / "captioning/all_models_summary.json").write_text("{")
    caplog.set_level("INFO", logger="snakemake.logging")
    closing.say(Plan(CONFIG, Path("workflow")), running())
    assert "The tables cannot be shown (JSONDecodeError: " in caplog.text


def test_short_tables_show_the_five_of_the_field_and_every_metric_of_ones_own():
    assert metric_titles.short_keys() == ["bleu4", "meteor", "rougeL", "cider", "spice"]
    assert metric_titles.short_measures() == ["R"]
    assert metric_titles.title("cider") == "CIDEr"
    assert metric_titles.title("bleu2_coco") == "BLEU-1 to BLEU-4 (COCO): bleu2 coco"
    assert metric_titles.title("of_a_plugin_that_is_gone") == "of a plugin that is gone"
    for name in plugins.names("metrics"):
        module = plugins.load("metrics", name)
        every = module.KEYS if module.CARD.task == "captioning" else tuple(module.MEASURES)
        assert set(module.CARD.shown or ()) <= set(every)
