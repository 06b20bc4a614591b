"""The typed configuration: generated files, coercion, errors that name place and remedy."""

import json
from pathlib import Path

import pytest
import yaml

from retcap.config import Config, resolve, shared, sides
from retcap.config import files as config_files
from retcap.config.errors import ConfigError


def raw(**sections):
    """The defaults with some keys replaced, as YAML would give them."""
    values = Config().model_dump(mode="json")
    for section, keys in sections.items():
        values[section] = {**values[section], **keys} if isinstance(keys, dict) else keys
    return values


def test_generated_files_hold_what_the_model_says():
    assert config_files.drifted() == [], "run `uv run python -m retcap.config.files`"


def test_defaults_in_the_yaml_file_resolve_to_the_defaults_of_the_model():
    text = (config_files.FOLDER / "config.yaml").read_text(encoding="utf-8")
    assert resolve(yaml.safe_load(text)) == sides.filled(shared.placed(Config())).model_dump(mode="python")


def test_what_an_overlay_adds_comes_after_the_defaults_in_whatever_order_it_is_given():
    added = {"wide": {"checkpoint": "a/b", "revision": "c", "side_px": 96}}
    given = {"wide-ret2": {"backbone": "wide"}, "a-ret2": {}, "ret2": {}}
    found = resolve({"backbones": added | {"tiny": {}}, "retrieval": {"retrievers": given}})
    assert list(found["backbones"]) == ["tiny", "wide"]
    assert list(found["retrieval"]["retrievers"]) == ["ret2", "wide-ret2", "a-ret2"]
    without = resolve({"retrieval": {"retrievers": {"b": {}, "a": {}, "ret2": None}}})
    assert list(without["retrieval"]["retrievers"]) == ["b", "a"]


def test_every_key_says_what_it_means():
    rows = [row for row in config_files._table() if row.startswith("| `")]
    assert len(rows) > 25
    assert all(row.split(" | ")[3].strip() for row in rows)


def test_schema_forbids_unknown_keys_everywhere():
    schema = json.loads((config_files.FOLDER / "schema.json").read_text(encoding="utf-8"))
    objects = [schema, *schema["$defs"].values()]
    assert len(objects) > 5
    assert all(part["additionalProperties"] is False for part in objects if part.get("type") == "object")


def test_scientific_notation_is_a_number():
    text = "tiny: {learning_rate: 1e-3}"  # YAML 1.1 reads 1e-3 as text
    assert isinstance(yaml.safe_load(text)["tiny"]["learning_rate"], str)
    assert resolve(raw(captioning=yaml.safe_load(text)))["captioning"]["tiny"]["learning_rate"] == 0.001


def test_all_errors_come_at_once_with_file_line_and_remedy(tmp_path: Path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(
        "captioning:\n  modles: []\n  models: [llava-1.5-7b, qwen2.5-vl-3]\n  prompt: bear\n  batch_size: many\n"
        "  options:\n    llava-1.5-7b:\n      chekpoint: hub\nsed: 1\n"
    )
    given = yaml.safe_load(overlay.read_text())
    values = raw(captioning=given["captioning"])
    values["sed"] = 1
    with pytest.raises(ConfigError) as caught:
        resolve(values, [overlay])
    text = str(caught.value)
    assert "has 6 problems" in text
    for line, words in [
        (2, "captioning.modles: unknown key. Did you mean `models`?"),
        (3, "captioning.models[1]: No captioner is named `qwen2.5-vl-3`. Did you mean `qwen2.5-vl-3b`?"),
        (
            4,
            "captioning.prompt: must be one of bare, instruct, or a text with `{query}` where the query goes. Got",
        ),
        (5, "captioning.batch_size: input should be a valid integer"),
        (8, "captioning.options.llava-1.5-7b.chekpoint: unknown key. Did you mean `checkpoint`?"),
        (9, "sed: unknown key. Did you mean `seed`?"),
    ]:
        assert f"{overlay}:{line}: {words}" in text


def test_an_error_from_the_command_line_says_so():
    with pytest.raises(ConfigError, match=r"command line \(--config\): experimnt: unknown key. Did you mean `exper"):
        resolve({**raw(), "experimnt": "x"}, [], {"experimnt": "x"})


def test_a_missing_input_file_is_named_before_anything_runs(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"captioning.csv: no file at `nowhere/test.csv` .* own copy"):
        resolve(raw(captioning={"csv": "nowhere/test.csv"}))
    own = tmp_path / "own.csv"
    own.write_text("url,query,annotation\n")
    assert resolve(raw(captioning={"csv": str(own)}))["captioning"]["csv"] == str(own)


def test_the_metric_that_selects_is_one_of_those_evaluated():
    defaults = raw()["retrieval"]
    for changes, words in [
        ({"select_metric": "R@7"}, r"must be one of R@1, R@5, R@10, PR@1, PR@5, PR@10. Got 'R@7' instead"),
        ({"select_metric": "MRR@10"}, r"Got 'MRR@10' instead; further cut-offs go into `eval_k`"),
        ({"eval_k": [3]}, r"select_metric: must be one of R@3, PR@3. Got 'R@10' instead"),
        ({"eval_k": []}, r"training.eval_k: list should have at least 1 item"),
    ]:
        with pytest.raises(ConfigError, match=words):
            resolve(raw(retrieval={"training": {**defaults["training"], **changes}}))
    given = {**defaults["training"], "eval_k": [3, 20], "select_metric": "PR@20"}
    assert resolve(raw(retrieval={"training": given}))["retrieval"]["training"]["eval_k"] == [3, 20]


def test_settings_of_a_retriever_are_checked_before_anything_runs():
    for changes, words in [
        (
            {"cell": {"hiden_size": 3}},
            r"r.cell.hiden_size: unknown field. Did you mean `hidden_size`\? Fields of",
        ),
        ({"cell": {"hidden_size": 7}}, r"retrievers.r.cell.hidden_size: 7 must be even"),
        ({"layer_strategy": "explicit"}, r"retrievers.r.layer_strategy: 'explicit' needs the lists"),
        ({"layer_strategy": "eech"}, r"r.layer_strategy: 'eech' must be one of auto, explicit, clip_vit_b"),
        ({"backbone": "x"}, r"retrievers.r.backbone: no backbone is named `x`. Known: tiny"),
    ]:
        with pytest.raises(ConfigError, match=words):
            resolve(raw(retrieval={"retrievers": {"r": {"backbone": "tiny", **changes}}}))


def test_the_full_study_has_the_settings_of_the_study_it_reproduces():
    read = {
        name: yaml.safe_load((config_files.FOLDER / f"{name}.yaml").read_text()) for name in ("m2kr", "m2kr-balanced")
    }
    training = read["m2kr"]["retrieval"]["training"]
    expected = {
        "epochs": 20, "per_device_batch_size": 64, "gradient_accumulation": 1, "learning_rate": "5e-5",
        "warmup_ratio": 0.1, "scheduler": "cosine", "bf16": True, "tf32": True, "patience": 3, "threshold": 0.001,
        "select_metric": "R@10", "load_best": True,
    }  # fmt: skip
    assert {name: training[name] for name in expected} == expected
    weights = {name: one["weight"] for name, one in read["m2kr"]["retrieval"]["datasets"].items()}
    assert weights == dict.fromkeys(("m2kr_oven", "m2kr_evqa", "m2kr_infoseek", "m2kr_okvqa"), 1.0)
    balanced = {name: one["weight"] for name, one in read["m2kr-balanced"]["retrieval"]["datasets"].items()}
    assert balanced == {"m2kr_evqa": 2.0, "m2kr_infoseek": 0.148, "m2kr_okvqa": 9.0}
    backbones = read["m2kr"]["backbones"]
    assert backbones.pop("tiny") is None
    assert all(len(one["revision"]) == 40 for one in backbones.values())


@pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", ".hidden"])
def test_an_experiment_name_cannot_leave_the_results_folder(name: str):
    with pytest.raises(ConfigError, match=r"experiment: .* cannot be a name"):
        resolve(raw(experiment=name))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"dialects": ["strict", "ret", "strict"]},
            "retrieval.dialects: each dialect once, the main one first. Got",
        ),
        ({"k": []}, "retrieval.k: list should have at least 1 item"),
        ({"k": [5, 1, 5]}, "retrieval.k: each cut-off once. Got 5, 1, 5 instead."),
        ({"dialects": []}, "retrieval.dialects: list should have at least 1 item"),
        ({"dialects": ["trec"]}, r"retrieval.dialects\[0\]: must be one of flmr, ret, strict. Got 'trec' instead."),
        ({"k": [5, 200]}, "retrieval.k: 200 lies beyond search.depth = 100. Search deeper or lower k"),
    ],
)
def test_what_cannot_be_scored_is_refused(given: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        resolve(raw(retrieval=given))


def test_values_of_the_command_line_come_as_text_and_are_understood():
    given = {"train_csv": "null", "checkpoint": "hub", "require_images": "false", "batch_size": "4"}
    resolved = resolve(raw(captioning=given))["captioning"]
    assert (resolved["train_csv"], resolved["require_images"], resolved["batch_size"]) == (None, False, 4)
