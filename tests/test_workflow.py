"""The workflow as a user meets it: starts quickly, lints clean, plans the full studies."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from retcap.pictures.images import ImagePack
from tiny_backbones import save_open_clip
from workflow_copy import copy_workflow

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
GPU_RULES = {
    "caption",
    "embed_retrieval",
    "embed_transfer",
    "encode_captions",
    "search_retrieval",
    "train_retriever",
    "train_tiny_captioner",
    "embed_prefix",
    "train_prefix",
    "caption_prefix",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the workflow without results."""
    copy_workflow(tmp_path)
    return tmp_path


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [*SNAKEMAKE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def planned(text: str) -> dict[str, int]:
    """Job counts by rule from the table of a dry run."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert table is not None, text
    return {rule: int(count) for rule, count in (line.split() for line in table[1].splitlines())}


def test_a_dry_run_of_the_demo_takes_under_six_cpu_seconds(checkout: Path):
    snakemake(checkout, "-n")  # the first one fills the cache of code digests
    seconds = []
    for _ in range(3):  # the quickest counts: a neighbour on the same core makes the others slower
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = snakemake(checkout, "-n", "--cores", "2")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stdout + done.stderr
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 6  # 3 to 4 where nothing else runs


def test_lint_is_clean(checkout: Path):
    done = snakemake(checkout, "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_full_retrieval_study_is_planned_with_gpus(checkout: Path):
    done = snakemake(checkout, "-n", "--cores", "2", "--resources", "gpu=2", "--configfile", "config/m2kr.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = planned(done.stdout + done.stderr)
    assert jobs["download_m2kr"] == 14
    assert jobs["train_retriever"] == 4  # two backbones, two layer strategies
    assert jobs["embed_retrieval"] == 1 * 11 * 4  # shards, systems, data sets
    assert jobs["probe_retrieval"] == jobs["check_retrieval"] == 4  # data sets
    assert jobs["compare_indexes"] == 4  # data sets; the report shows the first retriever's only
    assert "build_m2kr_world" not in jobs


def test_a_dry_run_says_what_every_gpu_job_asks_for(checkout: Path):
    done = snakemake(checkout, "-n", "--cores", "2", "--resources", "gpu=2", "--configfile", "config/m2kr.yaml")
    asked = dict(re.findall(r"^Job \d+: (.+?) \((\d+ GPUs, \d+ MB, \d+ min)\)$", done.stdout, re.MULTILINE))
    assert asked["training tinyclip-ret2"] == "1 GPUs, 64000 MB, 2880 min"
    assert asked["embedding m2kr_oven with tinyclip-ret2, shard 0"] == "1 GPUs, 16000 MB, 240 min"
    assert asked["searching m2kr_oven with tinyclip-ret2"] == "1 GPUs, 10000 MB, 120 min"
    random = {job: amounts for job, amounts in asked.items() if " with random" in job}
    assert len(random) == 4 * (1 + 1)  # data sets, shards and the search
    assert {amounts[0] for amounts in random.values()} == {"0"}  # drawn vectors need no GPU
    assert len(asked) == 4 + 4 * 11 * (1 + 1)  # trainings, then data sets, systems, shards and the search


def test_a_download_without_a_network_fails_once_and_says_where_to_put_the_file(checkout: Path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")  # a name that never has an address (RFC 2606)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    target = "results/data/m2kr/aimagelab/ReT-M2KR/main/jsonl/m2kr/test/oven_test.jsonl"
    done = snakemake(checkout, "--cores", "1", "--configfile", "config/m2kr.yaml", "--", target)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    named = (
        "jsonl/m2kr/test/oven_test.jsonl of the hub data set aimagelab/ReT-M2KR (revision main) cannot be downloaded"
    )
    assert text.count(f"Rule download_m2kr failed: {named}") == 1
    assert "hub.invalid" in text
    assert f"Put the file at {target}, or name your own copy in retrieval.datasets" in text
    assert "Retrying" not in text


def test_layers_that_a_backbone_of_ones_own_lacks_are_named_with_their_retriever(checkout: Path):
    (checkout / "models").mkdir()
    save_open_clip(checkout / "models/ours", "vit")
    settings = (
        "retrieval={retrievers: {ret2: null, mine: {"
        "backbone: ours, layer_strategy: explicit, cell: {text_layers: [0, 99], vision_layers: [0, 1]}}}}"
    )
    ours = "backbones={tiny: null, ours: {checkpoint: models/ours}}"
    done = snakemake(
        checkout, "--cores", "1", "--config", ours, settings, "--", "results/demo/retrieval/parameters/mine.json"
    )
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "failed: retrieval.retrievers.mine: layer_strategy 'explicit': text layers [99] do not exist" in text


def rule_bodies() -> dict[str, str]:
    """Text of every rule by name."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    found = re.findall(r"^(?:use )?rule (\w+).*?:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(found) > 20
    return dict(found)


def test_every_gpu_rule_declares_its_resources():
    asking = {name: body for name, body in rule_bodies().items() if "gpu=" in body}
    assert set(asking) == GPU_RULES
    for name, body in asking.items():
        assert re.search(r"gpu=.*gpus\b", body), f"{name} asks for GPUs on the CPU too"
        for needed in ("mem_mb=", "runtime=", "({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"):
            assert needed in body, f"{name} lacks {needed}"


def test_the_cluster_profile_sends_every_gpu_rule_to_the_gpu_partition():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    sent = {name for name, own in profile["set-resources"].items() if "gpu" in own["slurm_partition"]}
    assert sent == GPU_RULES


def test_the_cluster_profile_plans_the_same_jobs(checkout: Path):
    local = planned(snakemake(checkout, "-n", "--cores", "2").stdout)
    cluster = snakemake(checkout, "-n", "--workflow-profile", "profiles/slurm")
    assert cluster.returncode == 0, cluster.stdout + cluster.stderr
    assert planned(cluster.stdout) == local


def test_configuration_errors_are_all_printed_before_anything_runs(checkout: Path):
    (checkout / "mine.yaml").write_text("captioning:\n  modles: []\n  csv: nowhere.csv\nreport:\n  examples: many\n")
    done = snakemake(checkout, "-n", "--configfile", "mine.yaml")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "mine.yaml:2: captioning.modles: unknown key. Did you mean `models`?" in text
    assert "mine.yaml:5: report.examples: input should be a valid integer" in text


@pytest.mark.slow
def test_shards_dropped_queries_and_indexes_run_through_the_rules(checkout: Path):
    """One data set with two embedding shards and policy `drop`, up to the scores of a baseline.

    Beside it a backbone that takes pictures of another side, up to its vectors.
    """
    save_open_clip(checkout / "wide", "vit")
    settings = (
        "retrieval={datasets: {m2kr_evqa: null, m2kr_infoseek: null, m2kr_okvqa: null}, tiny_clip: {steps: 2}, "
        "embedding: {shards: 2}, missing_images: {policy: drop}, bootstrap_draws: 100}"
    )
    top = checkout / "results/demo/retrieval"
    target = "results/demo/retrieval/scores/zero_shot-tiny/m2kr_oven.json"
    measured = "results/demo/retrieval/indexes/zero_shot-tiny/m2kr_oven.json"
    wide = "results/demo/retrieval/vectors/zero_shot-wide/m2kr_oven/passages/shard-1.npy"
    given = ["studies=[retrieval]", "backbones={wide: {checkpoint: wide}}", settings]
    done = snakemake(checkout, "--cores", "2", "--config", *given, "--", target, measured, wide)
    assert done.returncode == 0, done.stdout + done.stderr
    packs = {side: ImagePack(top / f"pack/{side}px/m2kr_oven") for side in (64, 32)}
    assert packs[64].keys() == packs[32].keys()
    for side, pack in packs.items():
        assert {pack[key].shape for key in pack.keys()} == {(side, side, 3)}  # noqa: SIM118  not a dict
    assert np.load(checkout / wide).shape[1] == 10
    counts = json.loads((top / "images/m2kr_oven.json").read_text())["splits"]["test"]
    assert counts["query"]["dropped"] == counts["query"]["missing"] == 2
    scored = json.loads((checkout / target).read_text())
    assert (scored["n_queries"], scored["corpus_size"]) == (198, 300)  # queries are dropped, the corpus keeps its size
    vectors = top / "vectors/zero_shot-tiny/m2kr_oven"
    for side, rows in (("queries", 198), ("passages", 300)):
        images = pq.read_table(top / f"data/m2kr_oven/test/{side}.parquet")["image"].to_pylist()
        shards = [pq.read_table(vectors / side / f"shard-{n}.ids.parquet")["row"].to_pylist() for n in range(2)]
        assert sorted(shards[0] + shards[1]) == list(range(rows))
        first, second = ({images[row] for row in shard} - {None} for shard in shards)
        assert not first & second
    hits = pq.read_table(top / "hits/zero_shot-tiny/m2kr_oven.parquet")
    assert hits["query_row"].to_pylist() == sorted(hits["query_row"].to_pylist())
    assert set(hits["query_row"].to_pylist()) == set(range(198))
    indexes = json.loads((top / "indexes/zero_shot-tiny/m2kr_oven.json").read_text())
    assert indexes[0]["kind"] == "flat"
    assert indexes[0]["recall"] == 1
    left_out = {record["kind"]: record["skipped"] for record in indexes if "skipped" in record}
    assert list(left_out) == ["ivf_pq"]
    assert "needs at least 9984 passages" in left_out["ivf_pq"]
    log = (checkout / "results/demo/logs/search_retrieval/zero_shot-tiny/m2kr_oven.log").read_text()
    assert "of working memory, of 1024 MB allowed" in log
    assert "WARNING clustering" not in done.stderr  # faiss warns there when it has too few points to learn from
