"""Checks over several keys and against the disk: every problem at once, each at its own line."""

import logging
import shutil
from pathlib import Path

import msgspec
import pytest
import yaml

from retcap.config import Config, resolve
from retcap.config import files as config_files
from retcap.config.errors import ConfigError
from retcap.config.retrieval_checks import ELSEWHERE
from retcap.retrieval.splits import audit
from retcap.retriever.config import ReTConfig
from retcap.retriever.layers import STRATEGIES


def merged(old, new):
    """As Snakemake merges an overlay."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {name: merged(old.get(name), value) for name, value in new.items()}


def resolved(text: str, *before: Path, folder: Path) -> dict:
    """The defaults, files before it and an overlay of this text, resolved."""
    overlay = folder / "mine.yaml"
    overlay.write_text(text)
    values = Config().model_dump(mode="json")
    for file in (*before, overlay):
        values = merged(values, yaml.safe_load(file.read_text()))
    return resolve(values, [config_files.FOLDER / "config.yaml", *before, overlay])


def problems(text: str, *before: Path, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        resolved(text, *before, folder=folder)
    return str(caught.value).replace(f"{folder}/", "")


def test_checks_over_several_keys_do_not_hide_each_other(tmp_path: Path):
    text = problems(
        "experiment: a/b\n"  # 1
        "retrieval:\n"
        "  k: [5, 200]\n"
        "  dialects: [trec]\n"
        "  retrievers:\n"
        "    ret2:\n"
        "      backbone: x\n"  # 7
        "      cell:\n"
        "        hiden_size: 3\n"
        "        pooling: none\n"
        "        text_frozen: true\n"  # 11
        "        num_queries: many\n"
        "  training: {batch: 3, select_metric: R@7}\n"
        "  datasets:\n"
        "    m2kr_oven:\n"
        "      roots: ''\n"  # 16
        "      test: [results/data/other/x.jsonl]\n"
        "captioning:\n"
        "  csv: nowhere.csv\n",
        folder=tmp_path,
    )
    for line, words in [
        (1, "experiment: 'a/b' cannot be a name"),
        (3, "retrieval.k: 200 lies beyond search.depth = 100"),
        (4, "retrieval.dialects[0]: must be one of flmr, ret, strict. Got 'trec'"),
        (7, "retrieval.retrievers.ret2.backbone: no backbone is named `x`. Known: tiny"),
        (9, "retrieval.retrievers.ret2.cell.hiden_size: unknown field. Did you mean `hidden_size`?"),
        (10, "retrieval.retrievers.ret2.cell.pooling: 'none' gives a matrix of tokens"),
        (11, "retrieval.retrievers.ret2.cell.text_frozen: is no key of the cell"),
        (12, "retrieval.retrievers.ret2.cell.num_queries: expected `int`, got `str`. Got 'many' instead."),
        (13, "retrieval.training.batch: unknown key"),
        (13, "retrieval.training.select_metric: must be one of R@1"),
        (16, "retrieval.datasets.m2kr_oven.roots: no folder of pictures is named. Got ''"),
        (17, "retrieval.datasets.m2kr_oven.test[0]: no file at `results/data/other/x.jsonl`"),
        (19, "captioning.csv: no file at `nowhere.csv`"),
    ]:
        assert f"\n  mine.yaml:{line}: {words}" in text
    assert "has 13 problems" in text


def test_what_follows_from_another_mistake_is_not_reported(tmp_path: Path):
    text = problems("retrieval: {search: {depth: deep}, k: [5, 200]}\nbackbones: 3\n", folder=tmp_path)
    assert "has 2 problems" in text
    assert "lies beyond" not in text
    assert "no backbone" not in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("studies: []", "studies: list should have at least 1 item"),
        ("retrieval: {retrievers: {ret2: null}}", "retrieval.retrievers: no retriever is left. The study needs at"),
        (
            "retrieval: {datasets: {m2kr_oven: null, m2kr_evqa: null, m2kr_infoseek: null, m2kr_okvqa: null}}",
            "retrieval.datasets: no data set is left. The study needs at least one: name one, or take `retrieval` out",
        ),
        ("retrieval: {datasets: {m2kr_oven: {roots: {}}}}", "m2kr_oven.roots: no folder of pictures is named"),
        ("retrieval: {datasets: {m2kr_oven: {roots: {coco: ''}}}}", "m2kr_oven.roots: no folder of pictures is named"),
        (
            "retrieval: {datasets: {m2kr_oven: {train: []}}}",
            "m2kr_oven.train: no file is named. Every data set needs",
        ),
        ("retrieval: {datasets: {m2kr_oven: {valid: []}}}", "m2kr_oven.valid: neither `valid` nor `holdout` is given"),
        (
            "retrieval: {datasets: {m2kr_oven: {weight: 0}, m2kr_evqa: {weight: 0}, m2kr_infoseek: {weight: 0}, "
            "m2kr_okvqa: {weight: 0}}}",
            "m2kr_okvqa.weight: the weights of all data sets are 0, so there is nothing to train on",
        ),
        ("backbones: {tiny: {checkpoint: ./none}}", "tiny.checkpoint: no checkpoint at `./none`"),
        ("captioning: {checkpoint: /none/here}", "captioning.checkpoint: no checkpoint at `/none/here`"),
        (
            "captioning: {options: {llava-1.5-7b: {checkpoint: ~/none}}}",
            "llava-1.5-7b.checkpoint: no checkpoint at `{home}/none`",
        ),
        (
            "captioning: {columns: {image: url, query: url, annotation: url}}",
            "captioning.columns: `url` is named for image and query and annotation. Each needs a column of its own.",
        ),
        ("captioning: {columns: {query: annotation}}", "captioning.columns: `annotation` is named for query and annot"),
        (
            "retrieval: {training: {per_device_batch_size: 1}}",
            "training.per_device_batch_size: one pair has no negatives in its batch, so the loss is 0",
        ),
        (
            "device: cuda\nretrieval: {training: {per_device_batch_size: 1, gpus: 4, gather_negatives: false}}",
            "training.per_device_batch_size: one pair has no negatives in its batch",
        ),
        (
            "retrieval: {training: {gpus: 4}}",
            "training.gpus: 4 GPUs are asked for, but `device` is cpu, where one process would train with 1/4 of the",
        ),
        ("retrieval: {training: {seeds: [1, 2, 1]}}", "training.seeds: 1 is given more than once. Give each once."),
        ("retrieval: {training: {seeds: []}}", "training.seeds: list should have at least 1 item"),
        (
            "retrieval: {training: {seeds: [0, 1]}, retrievers: {ret2-seed1: {}}}",
            "retrievers.ret2-seed1: `ret2-seed1` is what the training of `ret2` with seed 1 is called. Rename it.",
        ),
        (
            "retrieval: {retrievers: {ret2: {cell: {layer_strategy: auto}}}}",
            "cell.layer_strategy: is no key of the cell, so that it cannot stand in two places.",
        ),
    ],
)
def test_what_cannot_run_is_refused(text: str, words: str, tmp_path: Path):
    found = problems(text, folder=tmp_path)
    assert words.replace("{home}", str(Path.home())) in found
    assert "\n  mine.yaml:1: " in found or "\n  mine.yaml:2: " in found
    assert "has 1 problem:" in found


@pytest.mark.parametrize(
    "path",
    ["results/data/own.jsonl", "results/data/m2kr/own.jsonl", "results/data/m2kr_world.jsonl", "results/demo/x.jsonl"],
)
def test_only_what_a_rule_makes_may_be_absent(path: str, tmp_path: Path):
    text = problems(f"retrieval: {{datasets: {{m2kr_oven: {{test: [{path}]}}}}}}", folder=tmp_path)
    assert f"m2kr_oven.test[0]: no file at `{path}`" in text


def test_the_settings_of_a_study_that_does_not_run_ask_for_no_files(tmp_path: Path):
    text = "studies: [captioning]\nretrieval: {datasets: {m2kr_oven: {test: [own.jsonl], roots: nowhere}}}"
    assert resolved(text, folder=tmp_path)["studies"] == ["captioning"]


def test_one_pair_per_gpu_has_the_pairs_of_the_other_gpus_as_negatives(tmp_path: Path):
    text = "device: cuda\nretrieval: {training: {per_device_batch_size: 1, gpus: 2}}"
    assert resolved(text, folder=tmp_path)["retrieval"]["training"]["gpus"] == 2


def test_cut_offs_come_sorted(tmp_path: Path):
    assert resolved("retrieval: {k: [20, 5, 10]}", folder=tmp_path)["retrieval"]["k"] == [5, 10, 20]


def test_an_absent_folder_of_pictures_is_a_warning_with_its_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    roots = "roots: {coco: nowhere/coco, '': <m2kr_world>/images}"
    text = f"retrieval:\n  datasets:\n    m2kr_oven:\n      {roots}\n    m2kr_okvqa: {{roots: nowhere/coco}}\n"
    with caplog.at_level(logging.WARNING):
        resolved(text, folder=tmp_path)
    (record,) = caplog.records
    message = record.getMessage()
    assert "mine.yaml:4: retrieval.datasets.m2kr_oven.roots: warning: no folder at `nowhere/coco`" in message
    assert "so m2kr_oven, m2kr_okvqa cannot be read" in message
    assert "ret-img-*.tar.gz" in message
    caplog.clear()
    resolved("seed: 1", folder=tmp_path)
    assert not caplog.records  # the demo's pictures are made by a rule


def test_an_overlay_of_another_one_cannot_stand_on_the_demo(tmp_path: Path):
    for name in ("m2kr", "m2kr-balanced"):
        shutil.copy(config_files.FOLDER / f"{name}.yaml", tmp_path)
    balanced = (tmp_path / "m2kr-balanced.yaml").read_text()
    base = tmp_path / "m2kr.yaml"
    text = problems(balanced, folder=tmp_path)
    assert (
        "on_top_of: this file goes on top of m2kr.yaml, which is not given before it. Use --configfile m2kr.yaml"
        in text
    )
    found = resolved(balanced, base, folder=tmp_path)
    assert found["retrieval"]["datasets"]["m2kr_okvqa"]["weight"] == 9
    assert all("m2kr_world" not in own["roots"] for own in found["retrieval"]["datasets"].values())


@pytest.mark.parametrize("name", ["random", "tiny_clip", "best-per-set", "untrained-x", "zero_shot-x", "llava-1.5-7b"])
@pytest.mark.parametrize("kind", ["backbones", "retrieval.retrievers"])
def test_a_name_that_something_else_has_is_refused(kind: str, name: str, tmp_path: Path):
    written = {
        "backbones": f"seed: 1\nbackbones:\n  {name}: {{}}\n",
        "retrieval.retrievers": f"retrieval:\n  retrievers:\n    {name}: {{}}\n",
    }
    text = problems(written[kind], folder=tmp_path)
    assert f"mine.yaml:3: {kind}.{name}: `{name}` names something else in the results" in text
    assert "has 1 problem:" in text


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", "a b", "."])
def test_a_name_cannot_leave_the_results_folder(name: str, tmp_path: Path):
    text = problems(f"retrieval:\n  retrievers:\n    '{name}': {{}}\n", folder=tmp_path)
    assert f"mine.yaml:3: retrieval.retrievers.{name}: {name!r} cannot be a name" in text


@pytest.mark.parametrize(
    ("text", "words", "unknown"),
    [
        ("retrieval: {datasets: {quic360: {}}}", "No dataset for retrieval is named `quic360`.", "quic360."),
        ("retrieval: {datasets: {m2kr_world: {}}}", "No dataset for retrieval is named `m2kr_world`.", "m2kr_world."),
        ("captioning: {dataset: m2kr_oven}", "No dataset for captioning is named `m2kr_oven`. Known: quic360.", ""),
        ("captioning: {metrics: [recall_at_k]}", "No metric for captioning is named `recall_at_k`.", "mrr"),
        (
            "captioning: {metrics: [blue]}",
            "is named `blue`. Did you mean `bleu`? Known: bleu, bleu_coco, chrf, cider",
            "ndcg",
        ),
    ],
)
def test_plugins_of_the_other_study_are_not_offered(text: str, words: str, unknown: str, tmp_path: Path):
    found = problems(text, folder=tmp_path)
    assert words.replace("{home}", str(Path.home())) in found
    assert not unknown or unknown not in found.partition("Known: ")[2]


def test_audit_checks_are_validated_before_anything_runs(tmp_path: Path):
    text = problems("retrieval:\n  fail_on: [queries, question]\n", folder=tmp_path)
    assert "mine.yaml:2: retrieval.fail_on[1]: must be 'query_ids', 'queries', 'questions'" in text
    assert "Got 'question' instead. Did you mean `questions`?" in text
    assert "has 1 problem:" in text
    everything = [*audit.PAIR_CHECKS, *audit.SPLIT_CHECKS]
    assert resolved(f"retrieval: {{fail_on: {everything}}}", folder=tmp_path)["retrieval"]["fail_on"] == everything


def test_the_readme_lists_every_field_of_the_cell_that_may_be_set():
    tables = list(config_files._cell_tables())
    allowed = [field.name for field in msgspec.structs.fields(ReTConfig) if field.name not in ELSEWHERE]
    assert [row.split("`")[1] for row in tables[2 : 2 + len(allowed)]] == allowed
    assert "| `hidden_size` | `1024` | d, size of the cell's state" in "\n".join(tables)
    named = [row.split("`")[1] for row in tables[-len(STRATEGIES) :]]
    assert named == list(STRATEGIES)


def test_a_checkpoint_in_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/config.json").write_text("{}")
    found = resolved("backbones: {own: {plugin: clip_hf, checkpoint: ~/clip}}", folder=tmp_path)
    assert found["backbones"]["own"]["checkpoint"] == str(tmp_path / "clip")


def test_a_value_that_may_have_two_types_is_one_problem(tmp_path: Path):
    text = problems("retrieval:\n  datasets:\n    m2kr_oven: {roots: 5}\n", folder=tmp_path)
    both = "input should be a valid string, or must hold keys. Got 5 instead."
    assert f"mine.yaml:3: retrieval.datasets.m2kr_oven.roots: {both}" in text
    assert "has 1 problem:" in text


def test_a_backbone_with_a_wrong_name_is_not_missing_too(tmp_path: Path):
    text = problems("backbones: {a b: {}}\nretrieval: {retrievers: {r: {backbone: a b}}}", folder=tmp_path)
    assert "has 1 problem:" in text


def test_values_without_their_files_need_no_base():
    values = merged(Config().model_dump(mode="json"), {"on_top_of": "m2kr.yaml"})
    found = resolve(values, [config_files.FOLDER / "config.yaml"], {"on_top_of": "m2kr.yaml"})
    assert found["on_top_of"] == "m2kr.yaml"  # a job on a cluster gets the merged configuration this way


def test_backbones_in_their_old_place_are_told_the_new_one_alone(tmp_path: Path):
    old = "seed: 1\nretrieval:\n  backbones: {mine: {checkpoint: a/b}}\n  retrievers: {ret2: {backbone: mine}}\n"
    text = problems(old, folder=tmp_path)
    assert "mine.yaml:3: retrieval.backbones: is now `backbones` at the top level, beside `retrieval`" in text
    assert "has 1 problem:" in text  # that `mine` is no backbone only follows from it
