"""A training killed in the middle of an epoch, started again by the same command, ends with the same weights.

Once under Snakemake, once on two ranks under torchrun.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest
import torch
from safetensors.torch import load_file

from ret_world import job, tiny_model, write_world
from retcap import plugins
from retcap.contrastive import training
from small_world import SMALL
from workflow_copy import copy_workflow

ROOT = Path(__file__).parents[1]
MODEL = Path("results/demo/models/ret2")
LOG = Path("results/demo/logs/train_retriever/ret2.log")
ROWS = dict.fromkeys(("m2kr_evqa", "m2kr_infoseek", "m2kr_okvqa"), 40) | {"m2kr_oven": 60}  # training queries
SETTINGS = (
    "retrieval={datasets: {m2kr_evqa: null, m2kr_infoseek: null, m2kr_okvqa: null}, "
    "tiny_clip: {steps: 2, batch_size: 8, side_px: 32}, retrievers: {ret2: {cell: {hidden_size: 16, num_queries: 2}}}, "
    "training: {epochs: 3, per_device_batch_size: 4, save_steps: 4, load_best: false}}"
)
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", SETTINGS]
STEPS, STEPS_PER_EPOCH = 45, 15


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow with a world of a few rows, so that one training takes seconds."""
    folder = tmp_path_factory.mktemp("checkout")
    copy_workflow(folder)
    plugins.load("datasets", "m2kr_world").build(
        folder / "results/data/m2kr_world/seed-0", seed=4, **SMALL | {"train_queries": ROWS, "pairs": 40}
    )
    return folder


def start(folder: Path, *options: str) -> subprocess.Popen:
    """Snakemake in a process group of its own; its jobs belong to the same group."""
    command = [*SNAKEMAKE, *options, "--", str(MODEL)]
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipe)


def ended(run: subprocess.Popen) -> tuple[int, str]:
    text = run.communicate(timeout=180)[0]
    return run.returncode, text


def checkpoint(folder: Path) -> int:
    """Step of the newest complete checkpoint in the training's scratch folder; 0 if there is none."""
    found = folder.glob("results/demo/.scratch/train_retriever/*/checkpoint-*/trainer_state.json")
    return max((int(file.parent.name.removeprefix("checkpoint-")) for file in found), default=0)


def wait_for_checkpoint(run: subprocess.Popen, folder: Path, after: int) -> None:
    """Return as soon as there is a checkpoint later than step `after`."""
    deadline = time.monotonic() + 180
    while checkpoint(folder) <= after:
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def training_process(run: subprocess.Popen) -> psutil.Process:
    """The script of the rule train_retriever."""
    children = psutil.Process(run.pid).children(recursive=True)
    return next(child for child in children if child.cmdline()[-1:][0].endswith(".train_retriever.py"))


def resumed_from(folder: Path) -> int:
    """Step of the checkpoint that the last session of the training went on from, from the job's log."""
    found = re.search(r"going on from .*checkpoint-(\d+)", (folder / LOG).read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1])


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(checkout: Path):
    run = start(checkout)
    wait_for_checkpoint(run, checkout, after=0)
    training_process(run).kill()  # as when the machine runs out of memory
    status, text = ended(run)
    first = checkpoint(checkout)
    assert status != 0
    assert "train_retriever" in text
    assert first % STEPS_PER_EPOCH, "killed at the end of an epoch, which proves less"
    assert not (checkout / MODEL / "model.safetensors").exists()

    run = start(checkout)
    wait_for_checkpoint(run, checkout, after=first)
    os.killpg(run.pid, signal.SIGKILL)  # Snakemake and all its jobs, as when the power fails
    assert ended(run)[0] == -signal.SIGKILL
    assert resumed_from(checkout) == first
    second = checkpoint(checkout)
    assert first < second < STEPS
    status, text = ended(start(checkout))
    assert (status != 0, "--unlock" in text) == (True, True)  # Snakemake's own lock outlives it, and it says so
    assert ended(start(checkout, "--unlock"))[0] == 0

    status, text = ended(start(checkout))
    assert status == 0, text
    assert resumed_from(checkout) == second
    assert not list((checkout / "results/demo/.scratch").glob("train_retriever/*"))
    resumed = load_file(checkout / MODEL / "model.safetensors")
    assert (checkout / "results/demo/models/best-per-set/ret2/m2kr_oven/model.safetensors").is_file()

    status, text = ended(start(checkout, "--forcerun", "train_retriever"))
    assert status == 0, text
    assert "going on from" not in (checkout / LOG).read_text(encoding="utf-8")
    uninterrupted = load_file(checkout / MODEL / "model.safetensors")
    assert len(resumed) > 50
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)
    assert not torch.equal(
        resumed["logit_scale"],
        load_file(checkout / "results/demo/models/untrained-ret2/model.safetensors")["logit_scale"],
    )


@pytest.mark.slow
def test_a_killed_torchrun_ends_and_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Only the job's own process is killed: torchrun and its ranks must not live on and keep the folder locked."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    world, initial = write_world(tmp_path / "world"), tiny_model(tmp_path)
    options = {"per_device_batch_size": 4, "epochs": 6, "load_best": False, "patience": None}
    killed, whole = (job(world, initial, tmp_path / name, **options) for name in ("killed", "whole"))
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(killed))
    code = (
        "import sys, msgspec\nfrom pathlib import Path\nfrom retcap.contrastive import training\n"
        "job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=training.TrainingJob)\ntraining.launch(job, 2)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "job.json")], env=environment, **quiet)
    wait_until(lambda: (tmp_path / "killed/checkpoint-4/trainer_state.json").exists() or parent.poll() is not None)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 3  # torchrun and two ranks
    parent.kill()
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))
    assert not Path(killed.output).exists()
    for one in (killed, whole):
        training.launch(one, gpus=2)
    resumed, uninterrupted = (load_file(Path(one.output) / "model.safetensors") for one in (killed, whole))
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
