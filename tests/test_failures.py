"""Failure records, what the next run tries again, what is said of killed jobs, and the last lines of a run."""

import json
import os
import re
import signal
import subprocess
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import yaml

import quick_start
from retcap import studies
from retcap.captioning import failed_pairs
from retcap.config import Config
from retcap.jobs import memory
from retcap.jobs.failures import again, killed, record, verdict
from retcap.jobs.failures.record import Failure

ROOT = Path(__file__).parents[1]
RULE = "score_retrieval"  # one that may fail alone; its outputs here are a file and, pretended, a folder

HEAD = """
import logging, os, signal, sys, time
from pathlib import Path
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, ResourceList, Wildcards
from retcap.jobs import job
from retcap import studies
from retcap.plan import Alone

attempt = int(os.environ.get("ATTEMPT", "1"))
studies.alone()["score_retrieval"] = Alone("retrieval.bootstrap_draws", folders=("model",))

class Snakemake:
    rule, threads, scriptdir = os.environ.get("RULE", "score_retrieval"), 1, "."
    input = InputFiles(["in/data.json", "in/a.npy", "in/b"])
    input._set_name("data", 0)
    input._set_name("more", 1, end=3)
    output = OutputFiles(fromdict={"table": "results/x/out/table.csv", "model": "results/x/out/v1.5-7b"})
    log = Log(["results/x/logs/score_retrieval/ours/oven.log"])
    params = Params(fromdict={"seed": 3, "again": None})
    wildcards = Wildcards(fromdict={"encoder": "ours", "dataset": "oven"})
    asked = {"gpu": 0, "mem_mb": 10, "runtime": 5}
    resources = ResourceList(fromdict=asked | ({"attempt": attempt} if attempt else {}))

snakemake = Snakemake()
"""
WRITE = "run.out.table.write_text('a,b')\nrun.out.model.mkdir()\n(run.out.model / 'weights').write_text('1')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with good inputs."""
    monkeypatch.chdir(tmp_path)
    for name in ("ATTEMPT", "RULE", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "in/b").mkdir(parents=True)
    (tmp_path / "in/data.json").write_text("{}")
    np.save(tmp_path / "in/a.npy", np.zeros(3))
    return tmp_path


def run(body: str, options: str = "", **environment: str) -> subprocess.CompletedProcess:
    code = f"{HEAD}with job.start(snakemake{options}) as run:\n{textwrap.indent(body, '    ')}"
    return quick_start.run("-c", code, env=os.environ | environment)


TABLE, MODEL, LOG = Path("results/x/out/table.csv"), Path("results/x/out/v1.5-7b"), Path("results/x/logs")


def noted() -> str | None:
    return again.value("results/x", RULE, {"dataset": "oven", "encoder": "ours"})


def failure(rule: str = "caption", reason: str = "ValueError: no", **more) -> Failure:
    wildcards = more.pop("wildcards", {"captioner": "ours"})
    return Failure(more.pop("kind", "error"), rule, wildcards, reason, f"logs/{rule}.log", **more)


def test_a_job_that_fails_leaves_a_record_in_place_of_every_output_and_ends_well(folder: Path):
    done = run(WRITE + "raise ValueError('the file\\nis empty')\n")
    assert done.returncode == 0, done.stderr
    found = record.read(TABLE)
    assert found == record.read(MODEL)
    assert found is not None
    assert (found.kind, found.reason) == ("error", "ValueError: the file is empty")
    assert (found.rule, found.wildcards) == (RULE, {"encoder": "ours", "dataset": "oven"})
    assert found.log == "results/x/logs/score_retrieval/ours/oven.log"
    assert [path.name for path in MODEL.iterdir()] == [record.FILE]
    assert done.stderr.splitlines()[0] == "Rule score_retrieval failed: the file"
    assert done.stderr.splitlines()[-1].startswith(
        "  It fails alone: the jobs of other systems go on, and the next run"
    )
    assert "Traceback" not in done.stderr
    assert "Traceback" in Path(found.log).read_text()
    assert json.loads(Path(found.log).with_suffix(".json").read_text())["status"] == "failed"
    assert str(noted()).startswith("failed at 2")
    assert "ValueError: the file is empty" in str(noted())
    before = noted()
    assert run("raise ValueError('the file\\nis empty')\n").returncode == 0
    assert noted() != before, "each failure is a new reason to try again"
    assert run(WRITE).returncode == 0
    assert TABLE.read_text() == "a,b"
    assert record.read(MODEL) is None
    assert json.loads(Path(found.log).with_suffix(".json").read_text())["status"] == "completed"


def test_a_rule_that_may_not_fail_alone_leaves_nothing(folder: Path):
    done = run(WRITE + "raise ValueError('the file is empty')\n", ATTEMPT="0")
    assert done.returncode == 1
    assert not TABLE.exists()
    assert noted() is None


def test_no_reader_takes_a_record_for_data(folder: Path):
    for name in ("a.json", "a.csv", "a.parquet", "a.npy", "a.yaml", "a.run", "a.safetensors"):
        record.write(failure(), folder / name, folder=False)
    with pytest.raises(UnicodeDecodeError):
        json.loads((folder / "a.json").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="codec"):
        json.loads((folder / "a.json").read_bytes())
    with pytest.raises(UnicodeDecodeError):
        pd.read_csv(folder / "a.csv")
    with pytest.raises(Exception, match="magic bytes"):
        pd.read_parquet(folder / "a.parquet")
    with pytest.raises(ValueError, match="pickled"):
        np.load(folder / "a.npy")
    with pytest.raises(ValueError, match="pickled"):
        np.load(folder / "a.npy", mmap_mode="r")
    with pytest.raises(yaml.YAMLError), open(folder / "a.yaml", "rb") as file:
        yaml.safe_load(file)
    from safetensors import SafetensorError, safe_open

    with pytest.raises(SafetensorError), safe_open(folder / "a.safetensors", "np"):
        pass
    assert set(record.among(sorted(folder.glob("a.*")))) == {str(path) for path in folder.glob("a.*")}


@pytest.mark.parametrize("lost", ["in/data.json", "in/a.npy", "in/b"])
def test_a_job_passes_the_failure_of_an_input_on_without_running(folder: Path, lost: str):
    path = folder / lost
    path.unlink() if path.is_file() else path.rmdir()
    record.write(failure("train_retriever", "OSError: disk full"), path, folder=lost == "in/b")
    done = run("print('ran')\n" + WRITE)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "", "the failing job has said it; twenty that follow from it say nothing"
    found = record.read(TABLE)
    assert found is not None
    assert found.kind == "upstream"
    assert found.reason == "not run: OSError: disk full (train_retriever ours)"
    assert found.roots == (failure("train_retriever", "OSError: disk full"),)
    assert found.why == "OSError: disk full (train_retriever ours)"
    assert noted() is None, "it runs again when its inputs have come, not by itself"
    assert json.loads((LOG / "score_retrieval/ours/oven.json").read_text())["status"] == "not run"
    hard = run("print('ran')\n" + WRITE, ATTEMPT="0")
    assert (hard.returncode, hard.stdout) == (1, "")
    assert "failed: not run: OSError: disk full (train_retriever ours)" in hard.stderr


def test_a_script_gets_the_failed_inputs_that_it_accepts(folder: Path):
    Path("in/a.npy").unlink()
    record.write(failure(), Path("in/a.npy"), folder=False)
    body = WRITE + "print({path: one.reason for path, one in run.failed.items()})\n"
    for options in (", accept_failed=True", ", accept_failed=['more']", ", accept_failed=['data', 'more']"):
        done = run(body, options)
        assert done.stdout.strip() == "{'in/a.npy': 'ValueError: no'}", done.stderr
        assert TABLE.read_text() == "a,b"
    run(body, ", accept_failed=['data']")
    assert record.read(TABLE) is not None


def test_a_passed_on_failure_names_each_root_once(folder: Path):
    first, second = failure(reason="a"), failure(reason="b")
    passed = failure("clean_captions", kind="upstream", causes=(first, second))
    assert record.roots([passed, first, failure(kind="upstream", causes=(second,))]) == [first, second]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_second_attempt_records_how_the_first_was_killed(folder: Path, number: int):
    first = run(f"logging.getLogger('x').info('step 7')\nos.kill(os.getpid(), {number:d})\ntime.sleep(9)\n")
    assert first.returncode != 0
    assert not TABLE.exists()
    second = run("print('ran')\n" + WRITE, ATTEMPT="2")
    assert (second.returncode, second.stdout) == (0, "")
    found = record.read(TABLE)
    assert found is not None
    assert found.kind == "killed"
    if number == signal.SIGTERM:
        assert found.reason.startswith("killed: the job was asked to end (SIGTERM)")
        assert "`--set-resources score_retrieval:runtime=...` (it had 5 min)" in found.remedy
    else:
        assert found.reason.startswith("killed: the job ended without a word")
        assert found.remedy.startswith("Lower `retrieval.bootstrap_draws`, or give it more than 10 MB (on a cluster: ")
    assert "step 7" in Path(found.log).read_text(), "the log still says how far the killed attempt came"
    assert str(noted()).endswith(found.reason[: again.SHOWN])
    assert run(WRITE).returncode == 0  # the next run tries it
    assert TABLE.read_text() == "a,b"


def test_a_larger_allocation_is_tried_and_the_third_attempt_records(folder: Path):
    kill = "os.kill(os.getpid(), signal.SIGKILL)\n"
    run(kill, SLURM_JOB_ID="7")
    inside = run("print('ran')\n" + WRITE, ATTEMPT="2", SLURM_JOB_ID="7")  # the same allocation is as small as before
    assert inside.stdout == ""
    run(kill, SLURM_JOB_ID="8")
    fresh = run("print('ran')\n" + kill, ATTEMPT="2", SLURM_JOB_ID="9")
    assert fresh.returncode == -signal.SIGKILL
    last = run("print('ran')\n" + WRITE, ATTEMPT="3", SLURM_JOB_ID="10")
    assert last.stdout == ""
    assert getattr(record.read(TABLE), "kind", None) == "killed"
    run(kill, SLURM_JOB_ID="11")
    good = run(WRITE, ATTEMPT="2", SLURM_JOB_ID="12")
    assert good.returncode == 0
    assert record.read(TABLE) is None


def test_a_death_for_want_of_memory_is_told_from_others(folder: Path, monkeypatch: pytest.MonkeyPatch):
    counters = folder / "vmstat"
    monkeypatch.setattr(killed, "COUNTERS", counters)
    arguments = (2, "caption", {"captioner": "ours"}, {"mem_mb": 8000, "runtime": 60})
    for before, after, said in (
        ("pgfault 1\noom_kill 3\n", "oom_kill 4\n", "memory ran out on"),
        ("oom_kill 3\n", "oom_kill 3\n", "without a word"),
        ("", "", "without a word"),
    ):
        counters.write_text(before)
        killed.begin(folder / "note")
        counters.write_text(after)
        with pytest.raises(killed.Killed, match=said) as caught:
            killed.check(folder / "note", *arguments)
        assert caught.value.remedy == (
            "Lower `captioning.options.ours.batch_size`, or give it more than 8000 MB "
            "(on a cluster: `--set-resources caption:mem_mb=...`)."
        )
    killed.check(folder / "note", 1, *arguments[1:])  # a first attempt always works


@pytest.mark.parametrize(
    ("raised", "remedy"),
    [
        ("MemoryError('x')", "Lower `retrieval.bootstrap_draws`, or give it more than 10 MB"),
        ('RuntimeError("[enforce fail] can\'t allocate memory: you tried 9 bytes")', "or give it more than 10 MB"),
        ("type('OutOfMemoryError', (RuntimeError,), {})('CUDA out of memory')", "Lower `retrieval.bootstrap_draws`.\n"),
        ("RuntimeError('Signal 9 (SIGKILL) received by PID 7')", "A child process was killed, most often for want of"),
        ("ValueError('out of memory of last year')", None),
    ],
)
def test_an_error_for_want_of_memory_names_the_key_to_lower(folder: Path, raised: str, remedy: str | None):
    done = run(f"raise {raised}\n")
    found = record.read(TABLE)
    assert found is not None
    if remedy is None:
        assert found.remedy == ""
    else:
        assert remedy.strip() in found.remedy
        assert f"  {found.remedy}\n" in done.stderr
        assert ("mem_mb" in found.remedy) is not remedy.endswith(".\n")


def test_memory_errors_are_known_without_torch_and_with_it():
    import torch

    assert memory.on_gpu(torch.OutOfMemoryError("CUDA out of memory"))
    assert memory.ran_out(torch.OutOfMemoryError("x"))
    assert memory.ran_out(MemoryError())
    assert not memory.ran_out(RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert memory.ran_out(caught.value)


def test_good_outputs_can_be_noted_to_be_tried_again_until_they_fail_in_the_same_way(folder: Path):
    body = WRITE + "print(run.try_again('2 of 9 pairs failed', same='a b'))\n"
    assert run(body).stdout.strip() == "True"
    assert record.read(TABLE) is None
    first = noted()
    assert first is not None
    assert first.startswith("2 of 9 pairs failed [")
    known = f"snakemake.params = Params(fromdict={{'again': {first!r}}})\n"
    code = HEAD + known + f"with job.start(snakemake) as run:\n{textwrap.indent(body, '    ')}"
    done = quick_start.run("-c", code)
    assert done.stdout.strip() == "False"
    assert noted() == first
    assert run(body.replace("a b", "a")).stdout.strip() == "True"
    assert noted() != first
    other = run(WRITE + "run.try_again('bad captions', job=('caption', {'captioner': 'ours'}))\n")
    assert other.returncode == 0
    assert "bad captions" in str(again.value("results/x", "caption", {"captioner": "ours"}))
    assert set(again.failures("results/x")) == {"caption/ours"}  # pairs that failed make no exit status


def test_what_was_noted_does_not_change_the_scratch_folder_or_the_provenance(folder: Path):
    show = WRITE + "print(run.scratch)\n"
    first = run(show).stdout
    changed = HEAD + "snakemake.params = Params(fromdict={'seed': 3, 'again': 'failed at 9: x'})\n"
    code = changed + f"with job.start(snakemake) as run:\n{textwrap.indent(show, '    ')}"
    assert quick_start.run("-c", code).stdout == first
    assert json.loads((LOG / "score_retrieval/ours/oven.json").read_text())["params"] == {"seed": 3}


def test_a_long_reason_keeps_both_ends():
    text = record.one_line(RuntimeError("first " + "x" * 5000 + " last"))
    assert text.startswith("RuntimeError: first")
    assert text.endswith("last")
    assert len(text) < 700


def test_a_torn_record_is_an_error_and_never_data(folder: Path):
    record.write(failure(), folder / "a.json", folder=False)
    whole = (folder / "a.json").read_bytes()
    (folder / "a.json").write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"a\.json: a failure record that cannot be read"):
        record.read(folder / "a.json")


def rules() -> dict[str, str]:
    """Text of every rule by name, also of one that stands below an `if`."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    found = re.finditer(r"^( *)rule (\w+):\n(.*?)(?=^\1\S|^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return {one[2]: one[3] for one in found}


def test_every_rule_that_may_fail_alone_says_so_in_its_rule():
    found = {name for name, body in rules().items() if "retries: ALONE\n" in body}
    assert found == set(studies.alone())
    for name, body in rules().items():
        assert ("attempt=attempt,\n" in body) is (name in found), name
        assert (f'again=again("{name}"),\n' in body) is (name in found), name
        assert "retries: " not in body or name in found, name


def test_the_folders_among_the_outputs_are_known():
    for name, known in studies.alone().items():
        kept = "retrieval.best_per_set()" in rules()[name]
        body = rules()[name] + ("model=directory(best)\nbest=directory(" if kept else "")
        assert set(re.findall(r"(\w+)=directory\(", body)) == set(known.folders), name


def test_the_keys_to_lower_exist():
    for name, known in studies.alone().items():
        section: object = Config().model_dump()
        for part in filter(None, known.lower.split(".")):
            if part == "{captioner}":
                section = {"batch_size": None}
                continue
            assert isinstance(section, dict), (name, known.lower)
            assert part in section, (name, known.lower)
            section = section[part]


def test_the_last_lines_say_what_is_missing_why_and_what_to_do():
    shards = [
        failure("embed_retrieval", "MemoryError", wildcards={"encoder": "ours", "dataset": name}, remedy="Lower `x`.")
        for name in ("oven", "evqa")
    ]
    passed = [
        failure("score_retrieval", kind="upstream", causes=(one,), wildcards=one.wildcards, reason="not run")
        for one in shards
    ]
    summary = {
        "failures": {"blip": "3 of 4 pairs failed"},
        "models": [
            {"model_name": "llava", "failed_pairs": {"failed": 2, "of": 9, "first": "OSError: x", "tried_again": True}},
            {"model_name": "qwen", "failed_pairs": {"failed": 0, "of": 9, "first": None, "tried_again": False}},
        ],
        "not_computed": [
            {"metric": "meteor", "systems": ["llava", "blind"], "reason": "No Java.", "failed": True},
            {"metric": "spice", "systems": ["llava"], "reason": "No jar.", "failed": False},
        ],
    }
    found = verdict.reach(passed, [summary])
    assert verdict.text(found, "report.html").splitlines() == [
        "results are missing: ours, blip, meteor. The rest is in report.html.",
        "  - embed_retrieval ours/oven and 1 more: MemoryError. Lower `x`. Log: logs/embed_retrieval.log",
        "  - blip: 3 of 4 pairs failed.",
        "  - METEOR of llava, blind was not computed: No Java.",
        "  The same command tries these again, and nothing else.",
    ]
    assert found.notes == [
        "SPICE of llava was not computed: No jar.",
        "llava: 2 of 9 pairs failed and count as zero (the first: OSError: x); the next run tries them again.",
    ]
    assert verdict.reach([], []).failures == []


def test_pairs_without_a_picture_are_no_fault_of_the_model():
    items = pd.DataFrame({"item_id": list("abcd"), "image_key": ["k", "k", None, "k"]})
    captions = pd.DataFrame(
        {"item_id": list("dcba"), "status": ["ok", "failed", "failed", "empty"], "reason": ["", "x", "y", ""]}
    )
    found = failed_pairs.count(items, captions)
    assert (found.failed, found.of, found.first) == (1, 3, "y")
    assert failed_pairs.problem(found, 1 / 3) is None
    assert "1 of 3 pairs failed, more than captioning.max_failed_share (0.3) allows" in str(
        failed_pairs.problem(found, 0.3)
    )


def test_records_travel_as_json():
    one = failure(kind="upstream", causes=(failure(),))
    assert msgspec.json.decode(msgspec.json.encode(one), type=Failure) == one
