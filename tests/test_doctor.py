"""The doctor: what it finds on a machine, and what it says to do about it."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from retcap.captions import corenlp, java
from retcap.config import resolve
from retcap.doctor import command, data, machine, models, scoring, weights
from retcap.doctor.findings import Finding
from retcap.jobs import devices, hub

ROOT = Path(__file__).parents[1]
GATED = "google/gemma-3-4b-it"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, on a machine without GPUs, with an empty cache and no token of the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    for name in (devices.VISIBLE, "HF_TOKEN", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hub, "token", lambda: None)
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    monkeypatch.setattr(hub, "refusal", lambda source, revision: None)
    return tmp_path


def with_gpus(folder: Path, *memory_mib: int) -> None:
    """An nvidia-smi that lists GPUs of this size."""
    lines = [f"{index}, GPU-{index}ab, NVIDIA T{index}, {mib}" for index, mib in enumerate(memory_mib)]
    tool = folder / "bin/nvidia-smi"
    tool.parent.mkdir()
    listing = "\n".join(lines)
    tool.write_text(
        f"#!{sys.executable}\nimport sys\nrows = '''{listing}'''.split('\\n')\n"
        "print('\\n'.join(r if 'uuid' in sys.argv[1] else r.split(',')[0] for r in rows))\n"
    )
    tool.chmod(0o755)


def config(**captioning: Any) -> dict[str, Any]:
    """The resolved configuration of a captioning study on a GPU."""
    return resolve({"device": "cuda", "studies": ["captioning"], "captioning": {"checkpoint": "hub", **captioning}})


def said(findings: Iterable[Finding], level: str = "bad") -> list[Finding]:
    return [finding for finding in findings if finding.level == level]


def test_every_model_is_held_against_every_gpu(bare: Path):
    with_gpus(bare, 16_384, 81_920)
    found = list(models.models(config(models=["blip2-opt-2.7b", "llava-1.5-7b"])))
    assert any("blip2-opt-2.7b needs about 16 GB of GPU memory, which every GPU here has" in one.text for one in found)
    [small] = said(found)
    assert small.text == "llava-1.5-7b needs about 24 GB of GPU memory: GPU 0 has 16."
    assert "CUDA_VISIBLE_DEVICES" in small.remedy


def test_gpus_that_are_hidden_do_not_count(bare: Path, monkeypatch: pytest.MonkeyPatch):
    with_gpus(bare, 16_384, 81_920)
    monkeypatch.setenv(devices.VISIBLE, "1")
    assert [gpu.memory_gb for gpu in machine.gpus()] == [80]
    assert not said(models.models(config(models=["llava-1.5-7b"])))
    monkeypatch.setenv(devices.VISIBLE, "GPU-0ab")
    assert [gpu.index for gpu in machine.gpus()] == ["0"]
    monkeypatch.setenv(devices.VISIBLE, "")
    [finding] = said(machine.machine(config()))
    assert "`device: cuda`, and no GPU is visible here (CUDA_VISIBLE_DEVICES='')." in finding.text


def test_a_machine_without_gpu_is_said_where_one_is_asked_for(bare: Path):
    [finding] = said(machine.machine(config()))
    assert "no GPU is visible here." in finding.text
    assert "srun --gpus=1" in finding.remedy
    assert not said(machine.machine(config() | {"device": "cpu"}))
    with_gpus(bare, 81_920)
    [idle] = said(machine.machine(config() | {"device": "cpu"}), "note")
    assert "leaves the GPUs idle" in idle.text


def test_a_real_model_on_the_cpu_is_told_its_size(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "memory_mb", lambda: 20_000.0)
    found = list(models.models(config(models=["blip2-opt-2.7b", "llava-1.5-7b"]) | {"device": "cpu"}))
    assert len(said(found, "note")) == 2
    [large] = said(found)
    assert large.text == "llava-1.5-7b does not fit the 20 GB of memory of this machine."


def test_weights_come_from_folder_cache_or_hub(bare: Path, monkeypatch: pytest.MonkeyPatch):
    (bare / "ours").mkdir()
    (bare / "ours/config.json").write_text("{}")
    own = {"models": ["llava-1.5-7b", "blip2-opt-2.7b", "internvl3-2b"]}
    own["options"] = {"llava-1.5-7b": {"checkpoint": "ours"}, "blip2-opt-2.7b": {"revision": "main"}}
    cached = bare / "home/hub/models--Salesforce--blip2-opt-2.7b"
    (cached / "snapshots/abc").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text("abc")
    for name in ("config.json", "model.safetensors.index.json", "part-1"):
        (cached / "snapshots/abc" / name).write_text('{"weight_map": {"a": "part-1", "b": "part-2"}}')
    monkeypatch.setattr(machine, "memory_mb", lambda: 1e6)
    found = list(models.models(config(**own)))
    assert [one.text for one in said(found)] == ["llava-1.5-7b: ours holds no *.safetensors."]
    texts = [one.text for one in said(found, "good")]
    assert texts[0] == "blip2-opt-2.7b: Salesforce/blip2-opt-2.7b at main will be downloaded by the run (about 7 GB)"
    assert texts[1].endswith("will be downloaded by the run (about 4 GB)")
    assert texts[2].startswith(f"12 GB of weights go to {bare}/home/hub, where ")
    (bare / "ours/model.safetensors").write_bytes(b"")
    (cached / "snapshots/abc/part-2").write_text("")
    texts = [one.text for one in models.models(config(**own))]
    assert "llava-1.5-7b: weights from ours" in texts
    assert "blip2-opt-2.7b: Salesforce/blip2-opt-2.7b is in the cache of the hub" in texts


def test_a_disk_that_is_too_small_for_the_weights(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 3e9}))
    assert "12 GB of weights go to" in weights.room(12.0).text
    assert weights.room(12.0).level == "bad"
    assert weights.room(2.0).level == "good"
    assert "3.0 GB of disk are free here" in said(machine.capacity())[0].text


def test_gating_and_a_hub_out_of_reach_have_their_remedies(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "refusal", lambda source, _: hub.Refusal("it is gated", hub.GATED.format(source=source)))
    [gated] = said(models.models(config(models=["gemma-3-4b"])))
    assert gated.text == f"gemma-3-4b: {GATED} at 093f9f388b31 cannot be had: it is gated."
    assert f"Accept the terms on the page of {GATED}" in gated.remedy
    monkeypatch.setattr(hub, "unreachable", lambda: "there is no network here")
    found = list(models.models(config(models=["gemma-3-4b"])))
    assert "The hub is out of reach: there is no network here." in [one.text for one in said(found, "note")]
    [offline] = said(found)
    assert "is not in the cache, and the hub is out of reach." in offline.text
    assert "hf download google/gemma-3-4b-it --revision 093f9f388b31de276ce2de164bdc2081324b9767" in offline.remedy


def test_backbones_count_where_a_study_stands_on_them(bare: Path):
    chosen = {"ours": {"plugin": "clip_hf", "checkpoint": "a/b", "revision": "abc", "side_px": 32}}
    raw = {"backbones": chosen, "retrieval": {"retrievers": {"ret2": {"backbone": "ours"}}}}
    found = [one.text for one in models.models(resolve(raw | {"studies": ["retrieval"]}))]
    assert "backbone ours: a/b at abc will be downloaded by the run" in found
    assert not [text for text in found if "llava" in text]


def test_the_warning_of_gated_weights_stands_before_any_job(bare: Path, caplog: pytest.LogCaptureFixture):
    config(models=["gemma-3-4b", "llava-1.5-7b"])
    [record] = caplog.records
    assert "captioning.models[0]: warning: google/gemma-3-4b-it is gated, and there is no token" in record.getMessage()
    caplog.clear()
    hub.token = lambda: "hf_x"  # the fixture puts the real one back
    config(models=["gemma-3-4b"])
    assert not caplog.records


@pytest.mark.parametrize("kind", ["gated", "revision", "repository", "status"])
def test_what_the_hub_refuses_is_told_apart(kind: str, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub
    from huggingface_hub import errors

    answer: Any = MagicMock()
    raised = {
        "gated": errors.GatedRepoError("no", response=answer),
        "revision": errors.RevisionNotFoundError("no", response=answer),
        "repository": errors.RepositoryNotFoundError("no", response=answer),
        "status": OSError("the line broke"),
    }

    def refuse(*_: Any, **__: Any) -> None:
        raise raised[kind]

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)
    monkeypatch.setattr(hub, "token", lambda: None)
    words = {
        "gated": "it is gated, and no token is here",
        "revision": "the repository has no revision v1",
        "repository": "there is no such repository, or it is private",
        "status": "OSError: the line broke",
    }
    refusal = hub.refusal("a/b", "v1")
    assert refusal is not None
    assert refusal.reason == words[kind]


def test_java_and_meteor_really_start(bare: Path):
    found = list(scoring.scoring(config(metrics=["meteor", "spice"])))
    assert [one.level for one in found] == ["good", "good", "note"]
    assert found[1].text == "METEOR 1.5 starts and answers"
    assert "captioning.spice.download" in found[2].remedy


def test_without_java_the_values_that_need_it_are_named(bare: Path, monkeypatch: pytest.MonkeyPatch):
    def missing() -> Path:
        raise java.JavaMissing("No Java found.")

    monkeypatch.setattr(java, "find_java", missing)
    [finding] = scoring.scoring(config(metrics=["cider", "meteor", "chrf"]))
    assert finding.text == "No value of cider, meteor: No Java found."
    assert not list(scoring.scoring(config(metrics=["chrf", "length"])))


def test_the_jars_of_spice_are_looked_at(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scoring, "_meteor", lambda: Finding("good", ""))
    monkeypatch.setattr(scoring, "java_version", lambda: "25")
    ours = bare / "jars"
    ours.mkdir()

    def spice(**own: Any) -> Finding:
        return list(scoring.scoring(config(metrics=["spice"], spice=own)))[-1]

    assert "There is no stanford-corenlp-3.6.0.jar" in spice(jars="jars").text
    assert spice(download=True).text == "SPICE: the run will fetch CoreNLP 3.6.0 (385 MB) from Maven first."
    for name in corenlp.SHA256:
        (ours / name).write_bytes(b"")
    assert "is not the published file" in spice(jars="jars").text
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    monkeypatch.setattr(corenlp, "SHA256", dict.fromkeys(corenlp.SHA256, empty))
    assert spice(jars="jars").level == "good"


def test_rows_and_pictures_of_a_csv(bare: Path):
    rows = ["a.jpg,people,two of them", "b.jpg,people,nobody", "b.jpg,cars,a red one"]
    (bare / "mine.csv").write_text("\n".join(["url,query,annotation", *rows]) + "\n")
    own = config(csv="mine.csv", train_csv=None, models=[])
    [none] = data.data(own)
    assert none.level == "bad"
    assert none.text == "captioning.csv: mine.csv, 3 rows: 2 of 2 pictures are not there, such as a.jpg."
    (bare / "b.jpg").write_bytes(b"")
    [some] = data.data(own)
    assert (some.level, "1 of 2" in some.text) == ("note", True)
    (bare / "a.jpg").write_bytes(b"")
    assert [one.text for one in data.data(own)] == ["captioning.csv: mine.csv, 3 rows, 2 pictures, all there"]
    (bare / "mine.csv").write_text("picture,query,annotation\nx,y,z\n")
    [columns] = data.data(own)
    assert columns.level == "bad"
    assert "captioning.columns" in columns.remedy


def test_the_command_goes_through_all_parts(bare: Path, capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr(scoring, "scoring", lambda _: [])
    monkeypatch.setitem(command.PARTS, "Caption metrics", lambda _: [])
    assert command.main([]) == 0
    printed = capsys.readouterr().out
    assert "This machine\n  ✓ " in printed
    assert "Tiny checkpoints, built and trained by the run: internvl3-2b, " in printed
    assert printed.endswith("Nothing stands in the way of a run.\n")
    assert max(len(line) for line in printed.split("\n")) <= 118
    assert command.main(["--config", "device=cuda", "captioning={checkpoint: hub, models: [gemma-3-4b]}"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("Configuration\n  ! ")
    assert "✗ `device: cuda`, and no GPU is visible here" in printed
    assert printed.endswith("1 of these will fail or lack a result.\n")


def test_a_wrong_configuration_does_not_keep_the_machine_from_being_told(bare: Path, capsys):
    assert command.main(["--config", "captioning={csv: gone.csv}"]) == 1
    printed = capsys.readouterr().out
    assert "no file at `gone.csv`" in printed
    assert "CPU cores" in printed


def test_a_configuration_named_as_a_target_is_not_answered_for_the_demo(bare: Path, capsys):
    assert command.main(["config/quic360.yaml"]) == 1
    assert "Write --configfile config/quic360.yaml." in capsys.readouterr().out


def test_its_help_is_its_own(bare: Path, capsys):
    assert command.main(["--help"]) == 0
    assert capsys.readouterr().out.count("\n") < 20


def test_no_part_of_it_imports_torch():
    code = "import sys; import retcap.doctor.command; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT / "workflow")})
