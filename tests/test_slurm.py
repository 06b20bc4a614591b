"""The cluster profile on a real SLURM of one node; left out where SLURM is not installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import slurm_cluster
from workflow_copy import copy_workflow

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm"]
QUICK = ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"]
SEARCH = """  search_retrieval:
    slurm_partition: "'cpu' if wildcards.encoder == 'random' else 'gpu'"
"""
MISSING = slurm_cluster.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"SLURM is not installed ({', '.join(MISSING)}); Debian: slurm-wlm munge"),
]


def jobs(environment: dict[str, str]) -> dict[str, dict[str, str]]:
    """What SLURM knows of every job, by the rule in its comment."""
    done = subprocess.run(
        ["scontrol", "-d", "show", "job"], env=environment, capture_output=True, text=True, check=True
    )
    found = {}
    for block in done.stdout.split("\n\n"):
        facts = dict(re.findall(r"(\w+)=(\S+)", block))
        if "Comment" in facts:
            found[facts["Comment"].removeprefix("rule_").partition("_wildcards_")[0]] = facts
    return found


def test_jobs_get_their_partition_memory_and_gpus(tmp_path: Path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    copy_workflow(checkout)
    profile = checkout / "profiles/slurm/config.yaml"
    text = profile.read_text()
    # The one system that runs without a real GPU asks for none; its search gets a pretended one here.
    assert text.count(SEARCH) == 1
    profile.write_text(text.replace(SEARCH, "  search_retrieval:\n    gpu: 1\n    slurm_partition: gpu\n"))
    target = "results/demo/retrieval/hits/random/m2kr_oven.parquet"
    with slurm_cluster.running(tmp_path / "cluster") as environment:
        environment |= {"PYTHONPATH": str(checkout / "workflow"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [*SNAKEMAKE, *QUICK, "--config", "device=cuda", "--", target],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = jobs(environment)
    said = re.findall(r"^✓ \[\d/6\] (.*?) +\d+(?:[.]\d)? s$", done.stderr, re.MULTILINE)
    assert len(said) == 6, done.stderr
    assert "reading m2kr_oven" in said
    assert "warning: m2kr_oven valid: Rejected lines" in done.stderr  # a job's own words, from its node
    assert "SLURM jobid" not in done.stderr
    assert (checkout / target).is_file()
    assert found["search_retrieval"]["Partition"] == "gpu"
    assert found["search_retrieval"]["JOB_GRES"] == "gpu:toy:1"
    for rule in ("embed_retrieval", "normalise_retrieval"):
        assert found[rule]["Partition"] == "cpu"
        assert "gpu" not in found[rule]["JOB_GRES"]
    assert found["embed_retrieval"]["MinMemoryNode"] in ("16000M", "15.62G")
    assert {job["JobState"] for job in found.values()} == {"COMPLETED"}
