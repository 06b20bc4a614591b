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
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest
import torch
from safetensors.torch import load_file

import quick_start
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
SNAKEMAKE = ["-m", "snakemake", "--cores", "1", "--config", SETTINGS]
STEPS, STEPS_PER_EPOCH = 45, 15
PATIENCE_S = 1800  # a busy machine is slow


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
    """Snakemake in a session of its own. What is killed here takes all that it started with it."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    environment[quick_start.EXECUTABLE] = quick_start.python("torch", environment)
    command = [quick_start.python("snakemake", environment), *SNAKEMAKE, *options, "--", str(MODEL)]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipe)


def ended(run: subprocess.Popen) -> tuple[int, str]:
    text = run.communicate(timeout=PATIENCE_S)[0]
    return run.returncode, text


def checkpoint(folder: Path) -> int:
    """Step of the newest complete checkpoint in the training's scratch folder; 0 if there is none."""
    found = folder.glob("results/demo/.scratch/train_retriever/*/checkpoint-*/trainer_state.json")
    return max((int(file.parent.name.removeprefix("checkpoint-")) for file in found), default=0)


def wait_for_checkpoint(run: subprocess.Popen, folder: Path, after: int) -> None:
    """Return as soon as there is a checkpoint later than step `after`."""
    wait_until(lambda: checkpoint(folder) > after or run.poll() is not None)
    assert run.poll() is None, run.communicate()[0]


def training_process(folder: Path) -> psutil.Process:
    """The script of the rule train_retriever."""
    client = str(ROOT / "tests/quick_client.py")
    lines = {one: one.cmdline() for one in inside(folder)}
    return next(one for one, line in lines.items() if client in line and line[-1].endswith(".train_retriever.py"))


def inside(folder: Path) -> list[psutil.Process]:
    """The processes that have a folder as theirs."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            found += [one] if one.status() != psutil.STATUS_ZOMBIE and Path(one.cwd()) == folder else []
    return found


def resumed_from(folder: Path) -> int:
    """Step of the checkpoint that the last session of the training went on from, from the job's log."""
    found = re.search(r"going on from .*checkpoint-(\d+)", (folder / LOG).read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1])


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(checkout: Path):
    run = start(checkout)
    wait_for_checkpoint(run, checkout, after=0)
    training_process(checkout).kill()  # as when the machine runs out of memory
    status, text = ended(run)
    first = checkpoint(checkout)
    assert status != 0
    assert "train_retriever" in text
    assert first % STEPS_PER_EPOCH, "killed at the end of an epoch, which proves less"
    assert not (checkout / MODEL / "model.safetensors").exists()

    run = start(checkout)
    wait_for_checkpoint(run, checkout, after=first)
    run.kill()  # with all its jobs, as when the power fails
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
    monkeypatch.setenv("PYTHON_EXEC", quick_start.python("torch"))  # of torchrun, for its ranks
    monkeypatch.setattr(sys, "executable", quick_start.python("torch"))
    world, initial = write_world(tmp_path / "world"), tiny_model(tmp_path)
    options = {"per_device_batch_size": 4, "epochs": 3, "load_best": False, "patience": None}
    killed, whole = (job(world, initial, tmp_path / name, **options) for name in ("killed", "whole"))
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(killed))
    code = (
        "import os, sys, msgspec\nfrom pathlib import Path\nfrom retcap.contrastive import training\n"
        "Path('pid').write_text(str(os.getpid()))\n"
        "job = msgspec.json.decode(Path('../job.json').read_bytes(), type=training.TrainingJob)\n"
        "training.launch(job, 2)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), quick_start.EXECUTABLE: sys.executable}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    here = tmp_path / "here"
    here.mkdir()
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=here, env=environment, **quiet)
    wait_until(lambda: (tmp_path / "killed/checkpoint-4/trainer_state.json").exists() or parent.poll() is not None)
    started = inside(here)
    assert len(started) >= 2 * 4  # the job, torchrun and two ranks, each with its `quick_client`
    os.kill(int((here / "pid").read_text()), signal.SIGKILL)
    assert parent.wait() == -signal.SIGKILL
    wait_until(lambda: not inside(here))
    assert not Path(killed.output).exists()
    for one in (killed, whole):
        training.launch(one, gpus=2)
    resumed, uninterrupted = (load_file(Path(one.output) / "model.safetensors") for one in (killed, whole))
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
