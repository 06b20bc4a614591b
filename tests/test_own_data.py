"""The worked examples of README.md and CONTRIBUTING.md: files, plugins and configuration are read as printed."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

import quick_start
from retcap.captioning import prompts
from retcap.captions import elsewhere, files
from retcap.captions.clean import clean_captions
from retcap.captions.context import Context
from retcap.captions.prepare import Outputs, prepare
from retcap.captions.scoring import score_captions
from retcap.config import resolve
from retcap.worlds import recipes
from retcap.worlds import tiny_captioner as tiny
from tiny_backbones import save_open_clip
from workflow_copy import copy_workflow, rules_to_run, snakemake

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
README = README[README.index("## Your own captions, pictures and predictions") :]
ROWS = 120


def block(kind: str, number: int = 0, text: str = TEXT) -> str:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[number]


def records() -> dict[str, dict]:
    """The one record that the page shows of every file."""
    found = re.findall(r"^(data/museum/\w+[.]jsonl) +(\{.*?\})$", block(""), re.MULTILINE | re.DOTALL)
    return {path: json.loads(record) for path, record in found}


def run(folder: Path, configuration: str, *arguments: str) -> str:
    """What Snakemake says of the configuration of an example."""
    file = f"config/{configuration}.yaml"
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow"), "HF_HUB_OFFLINE": "1"}
    how = {"cwd": folder, "env": environment, "jobs": "torch"}
    done = quick_start.snakemake("--cores", "1", "--configfile", file, *arguments, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_data_set_of_the_example_is_read_and_its_study_planned(tmp_path: Path):
    copy_workflow(tmp_path)
    (tmp_path / "workflow/retcap/datasets/museum.py").write_text(block("python"))
    (tmp_path / "config/museum.yaml").write_text(block("yaml"))
    (tmp_path / "models").mkdir()
    save_open_clip(tmp_path / "models/our-clip", "vit")
    for name in ("catalogue/Q1.jpg", *(f"hall/{n}.jpg" for n in range(ROWS))):
        (tmp_path / "data/museum/images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/museum/images" / name).touch()
    shown = records()
    assert sorted(shown) == [f"data/museum/{name}.jsonl" for name in ("passages", "test", "train")]
    for path, record in shown.items():
        copies = [record | {"data_id": n, "image_path": f"hall/{n}.jpg", "passage_id": [f"Q{n}"]} for n in range(ROWS)]
        lines = copies if "train" in path else [record]
        (tmp_path / path).write_text("".join(json.dumps(line) + "\n" for line in lines))

    plan = run(tmp_path, "museum", "-n")
    assert "training our-ret2 (0 GPUs" in plan
    assert "build_m2kr_world" not in plan
    run(tmp_path, "museum", "--", "results/museum/retrieval/normalised/museum")
    folder = tmp_path / "results/museum/retrieval/normalised/museum"
    rows = {split: pq.read_table(folder / split / "queries.parquet").num_rows for split in ("train", "valid", "test")}
    assert rows == {"train": ROWS - 50, "valid": 50, "test": 1}
    assert pq.read_table(folder / "test/passages.parquet")["passage_id"].to_pylist() == ["Q7"]
    assert not any((folder / split / "quarantine.jsonl").read_text() for split in rows)
    probed = json.loads((tmp_path / "results/museum/retrieval/probes/museum.json").read_text())
    assert probed["train, query"]["missing"] == 0 < probed["train, query"]["asked"]


def save_vip_llava(folder: Path, corpus: list[str]) -> None:
    """An untrained checkpoint of the architecture that the example's captioner names, as transformers saves it."""
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaProcessor,
        VipLlavaConfig,
        VipLlavaForConditionalGeneration,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    llava = recipes.load("llava-1.5-7b")
    special = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
    roles = {"begin": "<s>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokenizer = tiny.train_tokenizer(
        corpus, special, **roles, unk_token="<unk>", extra_special_tokens={"image_token": "<image>"}
    )
    side, patch = 28, 14
    pixels = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    processor = LlavaProcessor(
        pixels,
        tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=llava.TEMPLATE,
    )
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = VipLlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=side, patch_size=patch),
        text_config=LlamaConfig(**sizes, vocab_size=len(tokenizer), eos_token_id=2, pad_token_id=3, bos_token_id=1),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layers=(-1, -2),
    )
    model = tiny.build_model(VipLlavaForConditionalGeneration, config, seed=0)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    tiny.save(folder, model, processor)


@pytest.mark.slow
def test_the_captioner_the_metric_and_the_caption_csv_of_the_examples_give_a_table_and_a_report(tmp_path: Path):
    copy_workflow(tmp_path)
    (tmp_path / "workflow/retcap/captioners/our-vlm.py").write_text(block("python", 1))
    (tmp_path / "workflow/retcap/metrics/length_ratio.py").write_text(block("python", 2))
    (tmp_path / "config/hall.yaml").write_text(block("yaml", 2))
    pictures = tmp_path / "data/hall/pictures"
    pictures.mkdir(parents=True)
    (tmp_path / "data/hall/test.csv").write_text(block("csv"))
    (tmp_path / "data/hall/earlier.csv").write_text(block("csv", 1))
    rows = pd.read_csv(tmp_path / "data/hall/test.csv")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    for number, name in enumerate(rows["picture"].unique()):
        Image.fromarray(np.roll(pixels, number)).save(pictures / name)
    save_vip_llava(tmp_path / "models/our-vlm", sorted(rows["caption"]))

    said = run(tmp_path, "hall")
    results = tmp_path / "results/hall"
    assert not (results / "captioning/quarantine.jsonl").read_text()
    predictions = pd.read_csv(results / "captioning/our-vlm_predictions.csv")
    assert len(predictions) == len(rows) == 5
    ratio = json.loads((results / "captioning/our-vlm_metrics.json").read_text())["details"]["length_ratio"]
    human = json.loads((results / "captioning/human_metrics.json").read_text())["details"]["length_ratio"]
    assert ratio["value"] is not None
    assert ratio["ci_low"] <= ratio["value"] <= ratio["ci_high"]
    head, own = (
        next(line for line in said.split("\n") if line.split()[:1] == [word]) for word in ("BLEU-4", "our-vlm")
    )
    assert head.split() == ["BLEU-4", "CIDEr", "Length", "ratio"]
    assert own.split()[-1] == f"{ratio['value']:.3f}"
    assert f"{human['value']:.3f}" in next(line for line in said.split("\n") if line.startswith("human (baseline)"))
    page = (results / "report.html").read_text()
    first_table = page[page.index('id="caption-scores"') : page.index("</table>", page.index('id="caption-scores"'))]
    assert '<th class="n" scope="col">Length ratio</th>' in first_table
    assert "length_ratio" not in first_table
    assert f"Report: {Path('results/hall/report.html')}" in said
    earlier = json.loads((results / "captioning/earlier_metrics.json").read_text())
    assert (earlier["kind"], earlier["source"]["captions"], earlier["details"]["length_ratio"]["n"]) == (
        "elsewhere",
        3,
        3,
    )
    assert "earlier (made elsewhere)" in said
    assert earlier["source"]["sha256"] in page
    found = json.loads((results / "captioning/differences.json").read_text())
    assert any({one["first"], one["second"]} == {"earlier", "our-vlm"} and "p_holm" in one for one in found)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A copy of the workflow with the files of the recipe in README.md."""
    copy_workflow(tmp_path)
    (tmp_path / "data/mine").mkdir(parents=True)
    for number, name in enumerate(("hall.csv", "garden.csv", "mine.csv")):
        (tmp_path / "data/mine" / name).write_text(block("csv", number, README))
    (tmp_path / "data/mine/other.jsonl").write_text(block("json", 0, README))
    (tmp_path / "config/mine.yaml").write_text(block("yaml", 0, README))
    (tmp_path / "config/models.yaml").write_text(block("yaml", 1, README))
    return tmp_path


def test_the_recipe_of_the_readme_is_planned_with_and_without_models(mine: Path):
    own = {"prepare_captions", "caption_elsewhere", "caption_human", "caption_blind", "clean_captions"}
    own |= {"count_caption_ngrams", "score_captions", "summarise_captioning", "write_config", "report", "check"}
    assert rules_to_run(snakemake(mine, "-n", "--configfile", "config/mine.yaml")) == own
    text = snakemake(mine, "-n", "--configfile", "config/mine.yaml", "config/models.yaml")
    assert rules_to_run(text) == own | {"caption"}


def test_the_recipe_of_the_readme_scores_captions_made_elsewhere(mine: Path, monkeypatch: pytest.MonkeyPatch):
    """The steps of the rules one after another, with the params that the rules would get."""
    monkeypatch.chdir(mine)
    own = resolve(yaml.safe_load(block("yaml", 0, README)))["captioning"]
    names = ("dataset", "columns", "images_root", "require_images", "limit")
    out = Outputs(*(mine / name for name in ("pairs", "requests", "rows", "pack", "quarantine", "coverage")))
    coverage = prepare(own["csv"], out, **{name: own[name] for name in names})
    assert (coverage["csv"], coverage["pairs_kept"], coverage["references"]) == ("hall.csv, garden.csv", 3, 6)
    assert "first_look" not in coverage

    items, rows = files.read_items(out.items), files.read_rows(out.rows)
    taken = {
        name: elsewhere.take(Path(one["file"]), one["columns"], name, items, rows)
        for name, one in own["predictions"].items()
    }
    assert [record.reason for record in taken["mine"].rejected] == ["unknown_pair"]  # the frogs
    assert "frogs" in taken["mine"].rejected[0].detail
    assert taken["mine"].about["matched_by_file_name"] == 2
    assert list(taken["mine"].captions["raw"])[2] == "lilies on a pond"
    assert taken["other"].rejected == []
    with Context() as context:
        scores = {
            name: score_captions(items, clean_captions(one.captions), ["bleu"], context).results["bleu4"]
            for name, one in taken.items()
        }
    assert all(result.n == 3 and result.value is not None for result in scores.values())


def test_the_models_of_the_recipe_of_the_readme_take_a_first_look(mine: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(mine)
    (mine / "data/mine/pictures").mkdir()
    more = yaml.safe_load(block("yaml", 1, README))["captioning"]
    own = resolve(yaml.safe_load(block("yaml", 0, README)) | {"captioning": {**more, "csv": "data/mine/hall.csv"}})
    assert own["captioning"]["limit"] == 50
    assert prompts.request("plants", own["captioning"]["prompt"]).endswith(
        "What of the plants can be seen? One sentence."
    )
