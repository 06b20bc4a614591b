"""Correctness across processes: leases of devices, a training that is killed and goes on, and a training's scores."""

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch
import yaml
from safetensors.torch import load_file

from gpu import retrievers
from gpu.cases import Case, Context
from gpu.measure import relative
from retcap.contrastive import training
from retcap.contrastive.settings import TrainingJob
from retcap.contrastive.trainer import RetrieverTrainer
from retcap.features import tokens
from retcap.features.encoding import Encoder
from retcap.jobs import devices
from retcap.pictures.images import ImagePack
from retcap.retriever.model import RetrieverModel

# cuBLAS reads it when its first product begins; without it two runs on one GPU need not give the same bits.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

STEPS, KILLED_AT, SAVED_EVERY = 5, 4, 2
K = 5
SHOWN = "import torch; print(torch.cuda.device_count(), torch.cuda.get_device_properties(0).uuid)"
ANOTHER = "from retcap.jobs import devices\nwith devices.lease(1) as held: print(held[0])"
PATIENCE_S = 0.6  # a second lease that is still waiting after it is taken to wait
WORKFLOW = Path(devices.__file__).parents[2]


def cases() -> list[Case]:
    """All comparisons of this file."""
    return [
        Case("device leases", leases),
        Case("kill and resume", kill_and_resume),
        Case("scores of a training", scores),
    ]


def leases(context: Context) -> dict[str, Any]:
    """An id of nvidia-smi is leased, is the GPU that a process sees then, and is not leased a second time meanwhile."""
    with _surroundings(context):
        pool = devices.pool()
        if context.cuda:
            assert len(pool) == torch.cuda.device_count(), f"{pool} leased out, torch sees {torch.cuda.device_count()}"
        free = {**os.environ, "PYTHONPATH": str(WORKFLOW)}
        with devices.lease(1) as held:
            assert held == pool[:1] == [os.environ[devices.VISIBLE]], f"leased {held} of {pool}"
            seen = _seen(held[0]) if context.cuda else None
            other = subprocess.Popen([sys.executable, "-c", ANOTHER], env=free, stdout=subprocess.PIPE, text=True)
            if len(pool) == 1:
                time.sleep(PATIENCE_S)
                assert other.poll() is None, "the one GPU was leased twice"
            else:
                assert other.wait(60) == 0
        second = other.communicate(timeout=60)[0].strip()
        assert second in pool, f"{second} was leased, the pool is {pool}"
        assert len(pool) == 1 or second != held[0], f"leased twice: {second}"
    return {"GPUs": len(pool), "GPU seen under the lease": seen or "not looked for on a CPU"}


@contextmanager
def _surroundings(context: Context) -> Iterator[None]:
    """Lock files of the suite's own; on a CPU, an nvidia-smi that lists one GPU."""
    before = dict(os.environ)
    os.environ["RETCAP_LOCKS"] = str(context.scratch / "locks")
    os.environ.pop("SLURM_JOB_ID", None)
    if not context.cuda:
        command = context.scratch / "bin/nvidia-smi"
        command.parent.mkdir(exist_ok=True)
        command.write_text("#!/bin/sh\necho 0\n", encoding="utf-8")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        os.environ["PATH"] = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        os.environ.pop(devices.VISIBLE, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _seen(identifier: str) -> str:
    """The GPU that a process sees under the lease, which must be the one that nvidia-smi lists under the leased id."""
    shown = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, timeout=120, check=True)
    count, uuid = shown.stdout.split()
    asked = ["nvidia-smi", f"--id={identifier}", "--query-gpu=uuid", "--format=csv,noheader"]
    listed = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    if count != "1" or uuid not in listed:
        raise AssertionError(
            f"the lease of {identifier} shows {count} GPU(s), {uuid}; nvidia-smi says {listed.strip()}"
        )
    return "the leased one"


def job(context: Context, source: Any, initial: Path, name: str, **options: Any) -> TrainingJob:
    """A training of the full study without validation, which needs faiss."""
    configured: dict[str, Any] = {}
    for file in ("config.yaml", "m2kr.yaml"):
        configured |= yaml.safe_load((WORKFLOW.parent / "config" / file).read_text())["retrieval"]["training"]
    settings = {key: value for key, value in configured.items() if key in TrainingJob.__struct_fields__} | {
        "initial": str(initial),
        "train": [source],
        "validation": [],
        "scratch": str(context.scratch / name),
        "output": str(context.scratch / f"{name}-model"),
        "seed": 5,
        "per_device_batch_size": 8,
        "load_best": False,
        "save_steps": 10**6,
        "workers": 0,
        "device": context.device.type,
    }
    return msgspec.convert(settings | options, TrainingJob, strict=False)  # YAML reads 5e-5 as text


def train(wanted: TrainingJob) -> dict[str, Any]:
    """Run a job here; the library keeps the device of the first one otherwise."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    return training.run(wanted)


def kill_and_resume(context: Context) -> dict[str, Any]:
    """A training killed by SIGKILL between two checkpoints and started again ends with the weights of one that ran on.

    To the last bit, since PyTorch is asked for deterministic kernels; how much two runs differ without them is told
    beside it.
    """
    small = replace(context, dry=True)  # the demo's size, on whatever device
    source, initial = retrievers.world(small, 64, 16), retrievers.initial(small)
    options = {"max_steps": STEPS, "save_steps": SAVED_EVERY, "learning_rate": 1e-3, "bf16": context.cuda}
    torch.use_deterministic_algorithms(True)
    try:
        whole = job(context, source, initial, "whole", **options)
        train(whole)
        broken = job(context, source, initial, "broken", **options)
        child = multiprocessing.get_context("spawn" if context.cuda else "fork").Process(
            target=train_until_killed, args=(msgspec.json.encode(broken),)
        )
        child.start()
        child.join(300)
        assert child.exitcode == -signal.SIGKILL, f"the training that was to be killed ended with {child.exitcode}"
        kept = sorted(path.name for path in Path(broken.scratch).glob("checkpoint-*"))
        assert kept, "it left no checkpoint"
        train(broken)
    finally:
        torch.use_deterministic_algorithms(False)
    wanted, resumed = (_weights(Path(run.output)) for run in (whole, broken))
    if not torch.equal(wanted, resumed):
        raise AssertionError(f"the resumed training's weights differ by {relative(resumed, wanted):.3g}")
    values: dict[str, Any] = {"steps": STEPS, "killed at": KILLED_AT, "weights equal to the last bit": True}
    if context.cuda:  # a CPU has no other kernels
        free = job(context, source, initial, "free", **options)
        train(free)
        values["without deterministic kernels they differ by"] = relative(_weights(Path(free.output)), wanted)
    return values


def train_until_killed(encoded: bytes) -> None:
    """Train until a step at which this process kills itself, in the middle of a step."""
    torch.use_deterministic_algorithms(True)
    real, count = RetrieverTrainer.training_step, 0

    def step(self: RetrieverTrainer, *arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *arguments, **named)

    RetrieverTrainer.training_step = step
    train(msgspec.json.decode(encoded, type=TrainingJob))


def _weights(folder: Path) -> torch.Tensor:
    state = load_file(folder / "model.safetensors")
    return torch.cat([state[name].float().flatten() for name in sorted(state)])


def scores(context: Context) -> dict[str, Any]:
    """The same small training on the device and on the CPU: shares of queries with their passage among the first five.

    They may differ by what two samples of so many queries differ by, 95 of 100 times; and both must have learned.
    """
    small, host = replace(context, dry=True), replace(context, dry=True, device=torch.device("cpu"))
    pairs, steps = context.size((600, 300), (48, 2))
    source, initial = retrievers.world(small, pairs, pairs // 4), retrievers.initial(small)
    options = {"max_steps": steps, "epochs": 100.0, "learning_rate": 3e-3, "bf16": False, "tf32": False}
    reached = {}
    for name, place in (("cpu", host), ("device", context)):
        wanted = job(place, source, initial, f"scores-{name}", per_device_batch_size=context.size(32, 8), **options)
        train(wanted)
        reached[name] = _recall(place, Path(wanted.output), source)
    cpu, device = reached["cpu"], reached["device"]
    allowed = 1.96 * ((cpu * (1 - cpu) + device * (1 - device)) / pairs) ** 0.5
    values = {f"R@{K}": device, f"R@{K} on the CPU": cpu, "allowed difference": allowed, "chance": K / pairs}
    learned = context.dry or min(cpu, device) > 10 * K / pairs
    if abs(device - cpu) > allowed or not learned:
        raise AssertionError(f"trained on {context.device}: {values}")
    return values


def _recall(context: Context, folder: Path, source: Any) -> float:
    """Share of the queries whose passage is among the K best, over the whole corpus."""
    model = RetrieverModel.from_pretrained(folder).to(context.device)
    pack = ImagePack(source.pack)
    vectors = {}
    for side, file in (("query", source.queries), ("passage", source.passages)):
        chunks = tokens.tokenise(tokens.read(file, side, tokens.image_keys(source.pack)), model.tokenizer)
        table = tokens.TokenTable.from_chunks(chunks)
        vectors[side] = torch.from_numpy(Encoder(model, side, pack, batch_size=64, threads=1).all(table))
    found = (vectors["query"] @ vectors["passage"].T).topk(K).indices
    return float((found == torch.arange(len(found))[:, None]).any(dim=1).float().mean())
