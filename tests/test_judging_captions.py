"""What becomes of a system whose captions, or whose n-gram counts, did not come; the study's summary of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from retcap.captioning import summary
from retcap.captioning.banner import banner
from retcap.captions import files
from retcap.captions.judge import judge
from retcap.jobs.failures.record import Failure

FAILED = Failure("error", "caption", {"captioner": "llava-1.5-7b"}, "OSError: no weights", "caption.log")
REASON = "OSError: no weights (caption llava-1.5-7b)"
PARAMS = SimpleNamespace(metrics=["bleu", "spice"], max_failed_share=0.3, draws=100, seed=0, shuffled_draws=1)
STATUSES = ["ok", "ok", "failed", "failed"]


@pytest.fixture
def found(tmp_path: Path) -> SimpleNamespace:
    """Inputs of the scoring: four pairs, of which the last has no picture; the last two failed."""
    places = {name: str(tmp_path / name) for name in ("pairs", "captions", "outcome", "frequencies")}
    pictures = ["k", "k", "k", None]
    items = [
        {"item_id": one, "image": one, "image_key": key, "query": "q", "references": ["a red bus on the road"]}
        for one, key in zip("abcd", pictures, strict=True)
    ]
    files.write_items(Path(places["pairs"]), items)
    captions = pd.DataFrame(
        {"item_id": list("abcd"), "raw": "a red bus on the road", "status": STATUSES, "reason": "x"}
    )
    files.write_captions(Path(places["captions"]), captions)
    about = {"model_name": "llava-1.5-7b", "kind": "model", "status": "completed", "reason": None}
    Path(places["outcome"]).write_text(json.dumps(about))
    return SimpleNamespace(**places)


def test_a_system_without_captions_has_a_metrics_file_that_says_why(found: SimpleNamespace):
    for lost in ("outcome", "captions"):
        result, table, again = judge("llava-1.5-7b", found, PARAMS, {getattr(found, lost): FAILED})
        assert (result["model_name"], result["model_id"]) == ("llava-1.5-7b", None)
        assert (result["status"], result["reason"], result["num_samples"]) == ("failed", REASON, 4)
        assert set(result["metrics"].values()) == {None}
        assert not any(detail["failed"] for detail in result["details"].values())  # one failure, not six
        assert (len(table), again) == (0, [])
    baseline = judge("blind", found, PARAMS, {found.captions: FAILED}).result
    assert (baseline["kind"], baseline["model_id"]) == ("baseline", None)


def test_too_many_failed_pairs_fail_the_model_and_have_it_tried_again(found: SimpleNamespace):
    result, table, again = judge("llava-1.5-7b", found, PARAMS, {found.frequencies: FAILED})
    reason = "1 of 3 pairs failed, more than captioning.max_failed_share (0.3) allows; the first: x"
    assert (result["status"], result["reason"]) == ("failed", reason)
    assert result["counts"]["failed"] == 2
    assert result["metrics"]["bleu4"] is None
    assert len(table) == 0
    assert again == [(reason, ("caption", {"captioner": "llava-1.5-7b"}))]


def test_a_metric_that_did_not_come_is_tried_again_and_the_others_are_there(found: SimpleNamespace):
    lenient = SimpleNamespace(**vars(PARAMS) | {"max_failed_share": 0.5})
    scored = judge("llava-1.5-7b", found, lenient, {found.frequencies: FAILED})
    assert (scored.result["status"], scored.again) == ("completed", [])  # only SPICE is missing
    assert scored.result["shuffled"]["num_samples"] == 4  # every pair has another picture with its query
    lenient.metrics = ["bleu", "cider"]
    result, table, again = judge("llava-1.5-7b", found, lenient, {found.frequencies: FAILED})
    assert result["metrics"]["bleu4"] > 0
    assert (result["metrics"]["cider"], result["details"]["cider"]["reason"]) == (None, REASON)
    assert len(table) == 4
    assert again == [(f"cider was not computed: {REASON}", None)]


def test_the_summary_counts_failed_systems_pairs_and_metrics(found: SimpleNamespace, tmp_path: Path):
    lenient = SimpleNamespace(**vars(PARAMS) | {"max_failed_share": 0.5, "metrics": ["bleu", "cider", "spice"]})
    paths = {}
    for name, failed in (("llava-1.5-7b", {}), ("blind", {})):
        result = judge(name, found, lenient, {found.frequencies: FAILED} | failed).result | {"model_name": name}
        paths[name] = tmp_path / f"{name}.json"
        files.write_json(paths[name], result)
    made = summary.summarise(paths, ["llava-1.5-7b", "qwen2.5-vl-3b"], ["blind"], {"qwen2.5-vl-3b": "killed"}, "test")
    assert (made["total"], made["completed"], made["failed"]) == (2, 1, 1)
    assert made["failures"] == {"qwen2.5-vl-3b": "killed"}
    both = ["llava-1.5-7b", "blind"]
    missing = [(one["metric"], one["systems"], one["failed"]) for one in made["not_computed"]]
    assert sorted(missing) == [("cider", both, True), ("spice", both, False)]
    lines = banner(made)
    assert lines[0] == "Captioning: 1 of 2 models completed"
    assert lines[2].split()[0] == "llava-1.5-7b"
    assert lines[4] == "qwen2.5-vl-3b failed: killed"
    assert f"CIDEr of llava-1.5-7b, blind was not computed: {REASON}." in lines


def test_the_recipe_over_metrics_files_holds_for_a_failed_model(found: SimpleNamespace, tmp_path: Path):
    """Read every `*_metrics.json`, take name and metrics, sort by BLEU-4."""
    lenient = SimpleNamespace(**vars(PARAMS) | {"max_failed_share": 0.5})
    for name, failed in (("llava-1.5-7b", {}), ("qwen2.5-vl-3b", {found.captions: FAILED})):
        result = judge(name, found, lenient, {found.frequencies: FAILED} | failed).result
        files.write_json(tmp_path / f"{name}_metrics.json", result | {"model_name": name})
    rows = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*_metrics.json"))]
    table = pd.DataFrame([{"model": row["model_name"], **row["metrics"]} for row in rows])
    assert table.sort_values("bleu4", ascending=False)["model"].tolist() == ["llava-1.5-7b", "qwen2.5-vl-3b"]
