"""What is said of a model is what was loaded: hub id, folder or tiny checkpoint, revision or content."""

import dataclasses
import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny_captioners
from retcap import plugins
from retcap.captioning import outcome, study, weights
from retcap.captions import files
from retcap.pictures import images
from retcap.pictures.pixels import Resize
from retcap.report.inputs import CaptioningInputs, ReportInputs, read_json
from retcap.report.page import build_report
from test_report import Page

pytest_plugins = ["tiny_captioners"]

NAME = tiny_captioners.QUICK[0]
CARD = plugins.load("captioners", NAME).CARD


def test_the_hash_of_a_folder_is_the_one_that_a_shell_prints(tmp_path: Path):
    for number, name in enumerate(("model-2.safetensors", "model-10.safetensors", "config.json")):
        (tmp_path / name).write_bytes(bytes([number]) * 5)
    command = f"cd '{tmp_path}' && LC_ALL=C; export LC_ALL; cat *.safetensors | sha256sum"
    printed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert weights.content_sha256(tmp_path) == printed.split()[0]
    (tmp_path / "model-10.safetensors").unlink()
    assert weights.content_sha256(tmp_path) == hashlib.sha256(bytes([0]) * 5).hexdigest()


@pytest.fixture(scope="module")
def job(tmp_path_factory, one_thread):
    """A captioning job over one picture, and a tiny checkpoint."""
    folder = tmp_path_factory.mktemp("job")
    tiny_captioners.build(NAME, folder / "checkpoint")
    Image.fromarray(np.full((64, 128, 3), 90, np.uint8)).save(folder / "a.png")
    images.build(folder / "pack", [("a.png", folder / "a.png")], Resize("fit", 128, 64))
    [key] = images.ImagePack(folder / "pack").keys()
    item = {"item_id": "1", "query": "left", "image_key": key}
    files.write_requests(folder / "requests.parquet", [item])
    return study.Study(
        captioner=NAME,
        requests=folder / "requests.parquet",
        pack=folder / "pack",
        model=folder / "checkpoint",
        checkpoint="tiny",
        revision=None,
        trust_remote_code=False,
        prompt="bare",
        image_policy="squash",
        batch_size=1,
        max_new_tokens=2,
        kept=folder / "kept",
        code="",
    )


def ran(job: study.Study, tmp_path: Path, **changes) -> dict:
    return study.caption_study(dataclasses.replace(job, kept=tmp_path, **changes), "cpu")[1]


def test_a_folder_is_not_taken_for_the_published_model(job, tmp_path):
    folder = str(job.model)
    found = ran(job, tmp_path, checkpoint=folder, model=None)
    content = hashlib.sha256((job.model / "model.safetensors").read_bytes()).hexdigest()
    assert (found["model_id"], found["revision"], found["weights_sha256"]) == (folder, None, content)
    assert (found["architecture"], found["architecture_of"]) == (CARD.architecture, CARD.model_id)


def test_a_tiny_checkpoint_is_not_taken_for_the_published_model(job, tmp_path):
    found = ran(job, tmp_path)
    assert (found["model_id"], found["revision"]) == (None, None)
    assert found["weights_sha256"] == weights.content_sha256(job.model)


@pytest.mark.parametrize(
    ("checkpoint", "revision", "asked", "model_id"),
    [
        ("hub", None, CARD.revision, CARD.model_id),
        ("hub", "abc", "abc", CARD.model_id),
        ("someone/finetuned", None, "main", "someone/finetuned"),
    ],
)
@pytest.mark.parametrize("commit", [None, "f" * 40])
def test_a_hub_repository_is_named_with_the_commit_that_came(
    job, tmp_path, monkeypatch, checkpoint, revision, asked, model_id, commit
):
    import transformers

    processor, model = transformers.AutoProcessor.from_pretrained, transformers.AutoModelForImageTextToText
    real, seen = model.from_pretrained, []

    def fetched(place, **options):
        seen.append((place, options.pop("revision")))
        loaded = real(job.model, **options)
        loaded.config._commit_hash = commit
        return loaded

    monkeypatch.setattr(model, "from_pretrained", fetched)
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda *_, **__: processor(job.model))
    found = ran(job, tmp_path, checkpoint=checkpoint, revision=revision, model=None)
    assert seen == [(model_id, asked)]
    assert (found["model_id"], found["revision"], found["weights_sha256"]) == (model_id, commit or asked, None)


def test_a_model_that_failed_has_no_id():
    assert outcome.failed(NAME, "no weights")["model_id"] is None


@pytest.mark.parametrize(
    ("record", "said", "opening"),
    [
        (
            {"checkpoint": "tiny", "model_id": None, "weights_sha256": "ab" * 32},
            f"tiny, trained here architecture of {CARD.model_id}, float32, SHA-256 ababababab",
            "The models here are tiny checkpoints",
        ),
        (
            {"checkpoint": "models/ours", "model_id": "models/ours", "weights_sha256": "cd" * 32},
            f"models/ours architecture of {CARD.model_id}, float32, SHA-256 cdcdcdcdcd",
            f"Not the published weights: {NAME} (models/ours).",
        ),
        (
            {"checkpoint": "hub", "model_id": CARD.model_id, "revision": CARD.revision},
            f"{CARD.model_id} float32, revision {CARD.revision[:10]}",
            None,
        ),
        (
            {"checkpoint": "someone/else", "model_id": "someone/else", "revision": "main"},
            f"someone/else architecture of {CARD.model_id}, float32, revision main",
            f"Not the published weights: {NAME} (someone/else).",
        ),
    ],
)
def test_the_report_shows_what_was_loaded(record, said, opening, tmp_path):
    known = {"model_name": NAME, "status": "completed", "architecture_of": CARD.model_id, "dtype": "float32"}
    path = tmp_path / "summary.json"
    files.write_json(path, {"models": [known | record | {"metrics": {"cider": 1.0}, "num_samples": 3}]})
    assert read_json(path)["models"][0]["model_id"] == record["model_id"]
    page = Page(build_report(ReportInputs("x", studies={"captioning": CaptioningInputs(path)})))
    rows = page.table("Model", "What it saw of a panorama")
    assert "".join(rows[NAME][3].split()) == "".join(said.split())
    words = " ".join("".join(page.text).split())
    assert ("ot the published weights" in words) == (opening is not None)
    assert opening is None or opening in words


def test_a_second_tokenizer_counts_as_part_of_a_checkpoint(tmp_path: Path):
    """That of InstructBLIP's Q-Former lies in a folder of its own: another one makes other captions."""
    (tmp_path / "config.json").write_text("{}")
    one = weights.Weights(str(tmp_path), sha256="0")
    hashes = [weights.files_sha256(one)]
    (tmp_path / "qformer_tokenizer").mkdir()
    for text in ("{}", "{ }"):
        (tmp_path / "qformer_tokenizer/tokenizer.json").write_text(text)
        hashes.append(weights.files_sha256(one))
    assert len(set(hashes)) == 3
