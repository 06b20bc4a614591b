"""Single values: what is no number, no name or no path is refused where it stands, with a reason and a remedy."""

import json
from pathlib import Path

import pytest
import yaml

from retcap import plugins
from retcap.config import Config, resolve, wording
from retcap.config import files as config_files
from retcap.config.errors import ConfigError
from retcap.config.parts import _kinds
from retcap.worlds import recipes
from test_config_checks import problems, resolved

NAMES = {  # of entries that the user names
    "retrieval.datasets": "m2kr_oven",
    "backbones": "tiny",
    "retrieval.retrievers": "ret2",
    "captioning.options": "llava-1.5-7b",
}


def numbers() -> list[tuple[str, set]]:
    """Dotted path and kinds of every key that takes numbers."""
    found = []
    for path, field, _ in config_files._walk(Config, ""):
        kinds = _kinds(field.annotation)
        if kinds & {int, float} and bool not in kinds:
            for section, name in NAMES.items():
                path = path.replace(f"{section}.<name>", f"{section}.{name}")
            found.append((path, kinds))
    return found


def nested(path: str, value: object) -> dict:
    parts = path.replace("llava-1.5-7b", "llava").split(".")
    for part in reversed(parts):
        value = {"llava-1.5-7b" if part == "llava" else part: value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(("wrong", "shown"), [(True, "true"), (False, "false")])
def test_no_number_is_a_truth_value(wrong: bool, shown: str, tmp_path: Path):
    keys = numbers()
    assert len(keys) > 40
    for path, kinds in keys:
        value = [wrong] if list in kinds or path.endswith((".k", "eval_k")) else wrong
        text = problems(yaml.safe_dump(nested(path, value)), folder=tmp_path)
        assert f"{path}: must be a number. Got {shown} instead." in text


@pytest.mark.parametrize("wrong", [".inf", "-.inf", ".nan"])
def test_no_number_is_endless(wrong: str, tmp_path: Path):
    for path, kinds in numbers():
        if float in kinds:
            text = problems(yaml.safe_dump(nested(path, float(wrong.replace(".", "")))), folder=tmp_path)
            assert f"{path}: must be a finite number. Got {wrong} instead." in text


def test_endless_numbers_of_the_command_line_are_refused_too():
    values = Config().model_dump(mode="json")
    values["retrieval"]["training"] |= {"epochs": "inf", "threshold": "nan"}
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*training.epochs: .*training.threshold: "):
        resolve(values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 4294967296", "seed: must be at most 4,294,967,295: NumPy takes seeds of 32 bits only."),
        ("m2kr_world: {seed: 4294967296}", "m2kr_world.seed: must be at most 4,294,967,295"),
        (
            "retrieval: {embedding: {shards: 1000000}}",
            "embedding.shards: must be at most 1,000: every shard is a job of its own for each data set and system",
        ),
        ("retrieval: {training: {workers: 65}}", "training.workers: must be at most 64: every worker is a process"),
        ("retrieval: {bootstrap_draws: 1e8}", "retrieval.bootstrap_draws: must be at most 100,000: memory grows with"),
        ("captioning: {bootstrap_draws: 100000000}", "captioning.bootstrap_draws: must be at most 100,000"),
        ("retrieval: {datasets: {m2kr_oven: {weight: 1e6}}}", "weight: must be at most 1,000: an epoch lists every"),
        ("retrieval: {training: {per_device_batch_size: 10000000}}", "batch_size: must be at most 131,072: twice the"),
        (
            "captioning: {options: {llava-1.5-7b: {batch_size: 1e7}}}",
            "llava-1.5-7b.batch_size: must be at most 131,072",
        ),
        (
            "retrieval: {tiny_clip: {side_px: 1}}",
            "tiny_clip.side_px: input should be greater than or equal to 32. Got 1",
        ),
        (
            "backbones: {tiny: {side_px: 100000}}",
            "backbones.tiny.side_px: must be at most 16,384: a picture of this side",
        ),
        ("report: {examples: 1000000}", "report.examples: must be at most 500: their pictures lie in the page itself"),
        (
            "retrieval: {search: {memory_mb: 1e12}}",
            "search.memory_mb: must be at most 4,000,000: it is a number of mega",
        ),
        (
            "captioning: {tiny: {learning_rate: 1000}}",
            "tiny.learning_rate: must be at most 10: AdamW moves every weight",
        ),
        ("retrieval: {training: {per_device_batch_size: 1}}", "one pair has no negatives in its batch"),
        ("retrieval: {tiny_clip: {batch_size: 1}}", "tiny_clip.batch_size: input should be greater than or equal to 2"),
    ],
)
def test_a_slip_of_the_hand_does_not_flood_the_machine(text: str, words: str, tmp_path: Path):
    found = problems(text, folder=tmp_path)
    assert words in found
    assert "has 1 problem:" in found


def test_every_limit_has_a_reason_and_stands_in_the_schema():
    schema = json.loads((config_files.FOLDER / "schema.json").read_text(encoding="utf-8"))
    fields = [field for part in [schema, *schema["$defs"].values()] for field in part["properties"].values()]
    limited = [field for field in fields if "limit" in field]
    assert len(limited) > 25
    for field in limited:
        inner = [field, *field.get("anyOf", [])]
        assert any("maximum" in part for part in inner)
        assert len(field["limit"]) > 10


def test_whole_numbers_may_be_written_with_an_exponent(tmp_path: Path):
    found = resolved("retrieval: {bootstrap_draws: 2e3, training: {max_steps: 1.5e4}}", folder=tmp_path)["retrieval"]
    assert (found["bootstrap_draws"], found["training"]["max_steps"]) == (2000, 15000)
    assert "valid integer" in problems("retrieval: {bootstrap_draws: 1.2345e3}", folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("data", "results/data holds the generated worlds and downloads that all experiments share"),
        ("DATA", "results/DATA holds the generated worlds"),  # some file systems do not tell them apart
        ("x" * 300, "experiment: has 300 characters, and at most 80 fit into the names of files"),
        (
            "2026",
            "experiment: input should be a valid string. Got 2026 instead. A text of digits needs quotation marks",
        ),
        ("2026-11-21", "A text of digits needs quotation marks"),
        ("'a b'", "experiment: 'a b' cannot be a name: letters, digits, dots"),
        ('"a\\n"', r"experiment: 'a\n' cannot be a name"),
    ],
)
def test_an_experiment_has_a_name_of_its_own(name: str, words: str, tmp_path: Path):
    assert words in problems(f"experiment: {name}", folder=tmp_path)


def test_a_retriever_has_a_name_that_fits_into_a_file_name(tmp_path: Path):
    assert "has 200 characters" in problems(f"retrieval: {{retrievers: {{{'r' * 200}: {{}}}}}}", folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("studies: [retrieval, retrieval]", "studies: 'retrieval' is given more than once"),
        ("captioning: {models: [llava-1.5-7b, llava-1.5-7b]}", "models: 'llava-1.5-7b' is given more than once"),
        ("captioning: {metrics: [bleu, bleu]}", "metrics: 'bleu' is given more than once"),
        ("captioning: {baselines: [human, human]}", "baselines: 'human' is given more than once"),
        ("retrieval: {training: {eval_k: [10, 10]}}", "eval_k: 10 is given more than once"),
        ("retrieval: {search: {approximate: [hnsw, hnsw]}}", "approximate: 'hnsw' is given more than once"),
    ],
)
def test_nothing_is_listed_twice(text: str, words: str, tmp_path: Path):
    assert words in problems(text, folder=tmp_path)


@pytest.mark.parametrize("key", ["csv", "train_csv", "images_root", "download_to", "checkpoint"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a{b}.csv", "has braces, which Snakemake takes for wildcards. Rename"),
        ("a<b>.csv", "has angle brackets, which Snakemake takes for path variables. Rename"),
        ("<word>/a.csv", "begins with an unknown placeholder. Known: `<m2kr_world>`, `<m2kr>`, `<panorama_world>`"),
        ('a\\nb.csv', "has a line break or another control character"),
    ],
)  # fmt: skip
def test_a_path_that_snakemake_would_misread_is_refused(key: str, path: str, words: str, tmp_path: Path):
    found = problems(f'captioning: {{{key}: "{path}"}}', folder=tmp_path)
    assert f"mine.yaml:1: captioning.{key}: " in found
    assert words in found


def test_paths_of_data_sets_are_checked_too(tmp_path: Path):
    text = "retrieval: {datasets: {m2kr_oven: {train: ['a{b}.jsonl'], roots: {'': 'x{y}'}}}}"
    found = problems(text, folder=tmp_path)
    assert "m2kr_oven.train[0]: 'a{b}.jsonl' has braces" in found
    assert "m2kr_oven.roots: 'x{y}' has braces" in found
    assert "has 2 problems" in found


def test_the_home_folder_is_found_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a.csv", "b.jsonl"):
        (tmp_path / name).write_text("")
    (tmp_path / "pictures").mkdir()
    found = resolved(
        "captioning: {csv: ~/a.csv, train_csv: ~/a.csv, images_root: ~/pictures, download_to: ~/new}\n"
        "retrieval: {datasets: {m2kr_oven: {train: [~/b.jsonl], roots: {x: ~/pictures}}}}",
        folder=tmp_path,
    )
    captioning, own = found["captioning"], found["retrieval"]["datasets"]["m2kr_oven"]
    assert [captioning[key] for key in ("csv", "train_csv", "images_root", "download_to")] == [
        str(tmp_path / name) for name in ("a.csv", "a.csv", "pictures", "new")
    ]
    assert own["train"] == [str(tmp_path / "b.jsonl")]
    assert own["roots"] == {"x": str(tmp_path / "pictures")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("captioning: {csv: %s}", "captioning.csv: `{folder}` is a folder. Give a file in it."),
        ("captioning: {csv: ''}", "captioning.csv: is empty. Give the path of a file."),
        (
            "captioning: {csv: 'https://x.org/a.csv'}",
            "is an address. Download the file, and give the path of your copy",
        ),
        ("captioning: {images_root: %s/mine.yaml}", "captioning.images_root: `{folder}/mine.yaml` is a file."),
        (
            "retrieval: {datasets: {m2kr_oven: {roots: %s/mine.yaml}}}",
            "m2kr_oven.roots: `{folder}/mine.yaml` is a file",
        ),
        ("retrieval: {datasets: {m2kr_oven: {train: [%s]}}}", "m2kr_oven.train[0]: `{folder}` is a folder."),
        (
            "captioning: {csv: results/data/panorama_world/test.csv}",
            "What rules make is written as `<panorama_world>/…`",
        ),
    ],
)
def test_files_and_folders_are_told_apart(text: str, words: str, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("")
    found = problems(text.replace("%s", str(tmp_path)), folder=tmp_path)
    assert words.replace("{folder}/", "").replace("{folder}", str(tmp_path)) in found


def test_tiny_checkpoints_need_training_captions(tmp_path: Path):
    two = "models: [llava-1.5-7b, qwen2.5-vl-3b]"
    text = problems(f"captioning: {{train_csv: null, {two}}}", folder=tmp_path)
    assert "train_csv: is null, and the tiny checkpoints of llava-1.5-7b, qwen2.5-vl-3b are trained on it" in text
    one = "captioning: {train_csv: null, checkpoint: hub, options: {llava-1.5-7b: {checkpoint: tiny}}}"
    assert "the tiny checkpoints of llava-1.5-7b are trained" in problems(one, folder=tmp_path)
    assert resolved("captioning: {train_csv: null, checkpoint: hub}", folder=tmp_path)["captioning"]["models"]


def test_models_are_named_or_come_as_a_group(tmp_path: Path):
    def models(text: str) -> list[str]:
        return resolved(f"captioning: {{models: {text}}}", folder=tmp_path)["captioning"]["models"]

    light = ["internvl3-2b", "blip2-opt-2.7b", "qwen2.5-vl-3b", "gemma-3-4b"]
    assert models("[light]") == light  # from the smallest to the largest
    assert models("[newest]") == ["qwen2.5-vl-3b", "gemma-3-4b"]
    assert sorted(models("[all]")) == plugins.names("captioners")
    assert models("[gemma-3-4b, light]") == ["gemma-3-4b", *(name for name in light if name != "gemma-3-4b")]
    assert models("[newest, llava-1.5-7b, gemma-3-4b]") == ["qwen2.5-vl-3b", "gemma-3-4b", "llava-1.5-7b"]


def test_a_model_that_is_no_captioner_and_no_group_stands_where_it_was_written(tmp_path: Path):
    text = problems("captioning:\n  models:\n  - light\n  - lava-1.5-7b\n", folder=tmp_path)
    assert ":4: captioning.models[1]: No captioner is named `lava-1.5-7b`. Did you mean `llava-1.5-7b`?" in text
    assert "Groups: all, light, newest." in text
    assert "'light' is given more than once" in problems("captioning: {models: [light, light]}", folder=tmp_path)


def test_a_tiny_checkpoint_needs_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recipes, "names", lambda: ["llava-1.5-7b"])
    text = problems("captioning: {models: [llava-1.5-7b, qwen2.5-vl-3b]}", folder=tmp_path)
    assert text.count("cannot have a `tiny` checkpoint") == 1
    assert "captioning.options.qwen2.5-vl-3b.checkpoint: qwen2.5-vl-3b cannot have a `tiny` checkpoint" in text
    assert "worlds/tiny/qwen2.5-vl-3b.py. Give `hub`, a hub id or a folder, or write the recipe." in text
    assert resolved("captioning: {checkpoint: hub}", folder=tmp_path)["captioning"]["models"]


def test_a_captioning_study_of_nothing_is_refused(tmp_path: Path):
    assert "neither a captioner nor a baseline is left" in problems(
        "captioning: {models: [], baselines: []}", folder=tmp_path
    )
    assert resolved("captioning: {models: []}", folder=tmp_path)["captioning"]["baselines"] == ["human", "blind"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("{hidden_size: 0}", "cell.hidden_size: 0 must lie in 2..65,536."),
        ("{hidden_size: 7}", "cell.hidden_size: 7 must be even"),
        ("{hidden_size: 10000000}", "cell.hidden_size: 10000000 must lie in"),
        ("{num_heads: 0}", "cell.num_heads: 0 must be at least 1."),
        ("{logit_scale_init: .inf}", "cell.logit_scale_init: inf must be a finite number."),
        ("{text_layers: [1, 1], vision_layers: [0, 1]}", "cell.text_layers: [1, 1] names a layer more than once."),
        ("{text_layers: [1, 2], vision_layers: [-1, 1]}", "cell.vision_layers: [-1, 1] has a negative layer."),
        ("{text_layers: [], vision_layers: [1]}", "cell.text_layers: [] names no layer"),
        ("{text_layers: [true], vision_layers: [1]}", "expected `int`, got `bool` in entry 0. Got [True]"),
    ],
)
def test_the_cell_can_be_built(cell: str, words: str, tmp_path: Path):
    strategy = "explicit" if "layers" in cell else "auto"
    text = f"retrieval: {{retrievers: {{ret2: {{layer_strategy: {strategy}, cell: {cell}}}}}}}"
    found = problems(text, folder=tmp_path)
    assert words in found
    assert "has 1 problem:" in found


def test_a_key_that_an_overlay_broke_is_told_of_the_overlay(tmp_path: Path):
    for text, words in [
        (
            "seed: 1\nbackbones: {tiny: null}",
            "mine.yaml:2: retrieval.retrievers.ret2.backbone: no backbone",
        ),
        ("seed: 1\nretrieval: {search: {depth: 10}}", "mine.yaml:2: retrieval.k: 100 lies beyond search.depth = 10"),
        ("seed: 1\nretrieval: {training: {eval_k: [3]}}", "mine.yaml:2: retrieval.training.select_metric: must be one"),
    ]:
        assert words in problems(text, folder=tmp_path)


def test_values_are_shown_as_yaml_writes_them_and_cut():
    assert wording.shown({"a": [None, True, float("inf"), "x"]}) == "{a: [null, true, .inf, 'x']}"
    assert len(wording.shown("x" * 1000)) == wording.LONGEST
