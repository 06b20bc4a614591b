"""`python -m retcap why`: what changed since outputs were made, by key, module and file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import quick_start
from retcap.reruns import changes, digest
from workflow_copy import finished_copy, snakemake, stand_in

LLAVA = "captioning={options: {llava-1.5-7b: {batch_size: 3}}}"


def why(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    done = quick_start.run("-m", "retcap", "why", *arguments, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow whose demo has been run, as far as Snakemake can tell."""
    return finished_copy(tmp_path_factory.mktemp("finished"))


def test_a_finished_run_is_up_to_date(finished: Path):
    assert why(finished) == "Nothing would run: everything is up to date.\n"
    assert why(finished, "train_retriever") == "Nothing would run: train_retriever is up to date.\n"


def test_a_changed_key_is_named_as_in_the_configuration(finished: Path):
    assert why(finished, "--config", "captioning={max_new_tokens: 32}").splitlines() == [
        "caption (8 jobs), report, write_config:",
        "    captioning.max_new_tokens: 64 → 32",
        "These follow from them: check, clean_captions, encode_captions, score_captions, summarise_captioning",
    ]


def test_one_key_of_many_is_picked_out_and_followed_up(finished: Path):
    settings = "retrieval={training: {learning_rate: 2e-3}, tiny_clip: {steps: 7}}"
    assert why(finished, "train_retriever", "--config", settings).splitlines() == [
        "Would run: train_retriever (ret2)",
        "pretrain_tiny_clip:",
        "    retrieval.tiny_clip.steps: 300 → 7",
        "train_retriever (ret2):",
        "    retrieval.training.learning_rate: 0.001 → 0.002",
    ]


def test_a_failure_that_was_noted_is_the_reason(finished: Path):
    note = finished / ".snakemake/retcap-again/results/demo/caption/llava-1.5-7b.txt"
    note.parent.mkdir(parents=True, exist_ok=True)
    try:
        note.write_text("failed at noon: OSError")
        assert why(finished).splitlines()[:2] == [
            "caption (llava-1.5-7b):",
            "    to be tried again: failed at noon: OSError",
        ]
    finally:
        note.unlink()


def test_a_changed_module_is_named(finished: Path):
    file = finished / "workflow/retcap/metrics/cider.py"
    text = file.read_text()
    try:
        file.write_text(text.replace("CARD = ", "CHANGED = 1\nCARD = "))
        assert why(finished, "results/demo/report.html").splitlines() == [
            "Would run: report",
            "score_captions (10 jobs), score_prefix (1 job), summarise_captioning, summarise_prefix:",
            "    code: workflow/retcap/metrics/cider.py changed",
        ]
        file.write_text("# a comment\n" + text)
        assert "up to date" in why(finished)
    finally:
        file.write_text(text)


def test_digests_are_told_in_words():
    names = changes.Names({})
    (line,) = changes.of_params({"asked": "0123456789ab", "width": 1}, {"asked": "ba9876543210", "width": 1}, names)
    assert line == "other (image, query) pairs or pictures to caption, or another way of reading them"


def test_a_changed_script_is_found_beside_the_package(finished: Path):
    file = finished / "workflow/scripts/summarise_captioning.py"
    text = file.read_text()
    try:
        file.write_text(text + "\nprint(1)\n")
        assert "    code: workflow/scripts/summarise_captioning.py changed" in why(finished, "summarise_captioning")
    finally:
        file.write_text(text)


def test_files_that_are_gone_are_named(finished: Path):
    path = "results/demo/retrieval/hits/ret2/m2kr_oven.parquet"
    gone = finished / path
    gone.unlink()
    try:
        assert why(finished, path).splitlines() == [
            "Would run: search_retrieval (ret2, m2kr_oven)",
            "search_retrieval (ret2, m2kr_oven):",
            "    not there: results/demo/retrieval/hits/ret2/m2kr_oven.parquet",
        ]
    finally:
        stand_in(gone)
        snakemake(finished, "--touch", "--forceall", "--quiet", "all")


def test_the_jobs_own_record_names_every_param(finished: Path):
    """The stand-ins have no records; with one, also values that occur twice are told apart."""
    record = finished / "results/demo/logs/caption/llava-1.5-7b.json"
    (code,) = [text for text in _recorded(finished, "captioning/captions/llava-1.5-7b.parquet") if "-" in text[12:14]]
    record.parent.mkdir(parents=True, exist_ok=True)
    params = {"batch_size": 8, "max_new_tokens": 64, "image_policy": "squash", "gone": 1}
    record.write_text(json.dumps({"status": "completed", "code": code[1:13], "params": params}))
    text = why(finished, "caption", "--config", LLAVA)
    assert "    captioning.options.llava-1.5-7b.batch_size: 8 → 3" in text
    assert "    gone: 1 is gone" in text
    record.write_text(json.dumps({"status": "completed", "code": "of another run", "params": {"batch_size": 99}}))
    assert "99" not in why(finished, "caption", "--config", LLAVA)
    record.unlink()


def _recorded(folder: Path, output: str) -> list[str]:
    import base64

    key = base64.b64encode(f"results/demo/{output}".encode()).decode()
    return json.loads((folder / ".snakemake/metadata" / key).read_text())["params"]


def test_what_is_no_rule_gets_the_nearest_one(finished: Path):
    environment = {**os.environ, "PYTHONPATH": str(finished / "workflow")}
    done = quick_start.run("-m", "retcap", "why", "train_retriver", cwd=finished, env=environment)
    assert done.returncode == 1
    assert "`train_retriver` is no rule and no output of this plan. Did you mean `train_retriever`?" in done.stderr


def test_the_command_explains_itself():
    done = subprocess.run([sys.executable, "-m", "retcap"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "python -m retcap why train_retriever" in done.stderr


def test_values_without_names_are_paired_only_where_that_is_certain():
    names = changes.Names({"retrieval": {"seed": 1, "k": [5]}})
    one = changes.of_values(["0", "[1]", "'x'", "'aaaaaaaaaaaa-bbbbbb'"], {"seed": 1, "k": [1], "name": "x"}, names)
    assert list(one) == ["retrieval.seed: 0 → 1"]
    two = changes.of_values(["0", "7"], {"seed": 1, "draws": 8}, changes.Names({}))
    assert list(two) == ["seed: now 1", "draws: now 8", "before, a value was 0", "before, a value was 7"]


def test_a_param_is_named_by_its_section_and_by_the_wildcards_of_its_job():
    sets = {name: {"roots": "r", "weight": 1} for name in ("one", "two")}
    config = {
        "a": {"sets": sets, "tiny": {"steps": 7, "rate": 1}, "training": {"steps": 8}},
        "b": {"seed": 7},
        "seed": 1,
    }
    names = changes.Names(config, ["two"])
    assert names.of("settings", {"roots": "r"}) == "a.sets.two"
    assert names.of("training", {"steps": 7, "rate": 1}) == "a.tiny"
    assert names.of("seed", 7) == "b.seed"
    assert names.of("seed", True) == "seed"
    assert changes.Names(config).of("settings", {"roots": "r"}) == "settings"  # which of them nobody knows


def test_modules_that_came_and_went_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digest, "RECORDS", tmp_path)
    (tmp_path / "old.json").write_text(json.dumps({"a/x.py": "1", "a/y.py": "1", "a/z.py": "1"}))
    (tmp_path / "new.json").write_text(json.dumps({"a/x.py": "2", "a/z.py": "1", "a/w.py": "1"}))
    assert list(changes.of_code("old-1", "new-1", "0123456789abcdef")) == [
        "code: workflow/retcap/a/w.py is new",
        "code: workflow/retcap/a/x.py changed (git diff 012345678 -- workflow/retcap/a/x.py)",
        "code: workflow/retcap/a/y.py is not used any more",
    ]
    assert list(changes.of_code("old-1", "old-2")) == []
    (line,) = changes.of_code("lost-1", "new-1")
    assert line == "code: changed from lost to new; which modules was not recorded"
