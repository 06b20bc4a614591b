"""What runs again after a change in files of one's own: a caption CSV, its pictures, folders of weights."""

import json
import os
from pathlib import Path

import pytest
import yaml
from PIL import Image

from test_reruns import CLIP, MODELS
from workflow_copy import copy_workflow, finish, rules_to_run, snakemake

CSV = """url,query,annotation
a.png,sea,waves roll on the sea
a.png,sea,the sea is grey
a.png,sky,None
b.png,sea,a boat on the sea
gone.png,sea,a lost sea
"""
OWN = {
    "captioning": {
        "csv": "data/test.csv",
        "train_csv": None,
        "baselines": ["human"],
        "models": ["llava-1.5-7b"],
        "checkpoint": "models/llava",
    },
    "backbones": {"tiny": {"plugin": "clip_hf", "checkpoint": "models/clip"}},
}
OPTIONS = ("--configfile", "mine.yaml")
WRITTEN_S = 1_600_000_000  # long before any output


def large(sign: str) -> bytes:
    """More than Snakemake compares by content, and a checkpoint's configuration, in which a plan looks for the side."""
    return json.dumps({"vision_config": {"image_size": 64}, "more": sign * 2_000_000}).encode()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on files of one's own."""
    folder = copy_workflow(tmp_path_factory.mktemp("own"))
    (folder / "mine.yaml").write_text(yaml.safe_dump(OWN))
    (folder / "data").mkdir()
    (folder / "data/test.csv").write_text(CSV)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 4)).save(folder / "data" / name)
    for name in ("llava", "clip"):
        (folder / "models" / name / "checkpoint-5").mkdir(parents=True)
        for file in ("model.safetensors", "config.json", "README.md", "checkpoint-5/model.safetensors"):
            (folder / "models" / name / file).write_bytes(large("1"))
    for path in [*sorted((folder / "data").iterdir()), *sorted((folder / "models").rglob("*"))]:
        os.utime(path, (WRITTEN_S, WRITTEN_S))
    return finish(folder, *OPTIONS)


def plan(folder: Path) -> set[str]:
    return rules_to_run(snakemake(folder, "-n", *OPTIONS))


@pytest.fixture
def changed(finished: Path):
    """A function that writes a file of one's own over, for this test alone."""
    before = {}

    def change(name: str, content: bytes | None) -> None:
        path = finished / name
        before[path] = path.read_bytes() if path.exists() else None
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

    yield change
    for path, content in before.items():
        if content is None:
            path.unlink()
            os.utime(path.parent, (WRITTEN_S, WRITTEN_S))
        else:
            path.write_bytes(content)
            os.utime(path, (WRITTEN_S, WRITTEN_S))


def test_a_finished_run_has_nothing_to_do(finished: Path):
    assert plan(finished) == set()


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "new.safetensors"])
def test_new_weights_of_a_captioner_caption_again(finished: Path, changed, file: str):
    """Also where a file is written over, which leaves the time of its folder as it was."""
    changed(f"models/llava/{file}", large("2"))
    assert plan(finished) == MODELS - {"write_config"}


@pytest.mark.parametrize("file", ["model.safetensors", "new.json"])
def test_new_weights_of_a_backbone_embed_and_train_again(finished: Path, changed, file: str):
    changed(f"models/clip/{file}", large("2"))
    assert plan(finished) == CLIP - {"pretrain_tiny_clip", "write_config"}


@pytest.mark.parametrize("file", ["README.md", "checkpoint-5/model.safetensors"])
def test_what_is_not_loaded_runs_nothing(finished: Path, changed, file: str):
    changed(f"models/llava/{file}", large("2"))
    changed(f"models/clip/{file}", large("2"))
    assert plan(finished) == set()
