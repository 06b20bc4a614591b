"""Cores, memory, GPUs and disk, against what the configuration asks for. Without torch, whose import takes seconds."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

from retcap.doctor.findings import Finding, bad, good, note
from retcap.jobs import devices

SHAPES_RESULTS = False  # see retcap.reruns.digest
GB = 1e9
FREE_GB = 5  # that results of a small study take, with room to spare


class Gpu(NamedTuple):
    """One GPU that jobs may use."""

    index: str
    name: str
    memory_gb: float  # 2^30 bytes, as the cards of models have it


def machine(config: dict[str, Any]) -> Iterator[Finding]:
    """Findings on cores, memory, disk, and the GPUs that the configuration asks for."""
    yield from capacity()
    found = gpus()
    if config["device"] == "cuda" and not found:
        hidden = f" ({devices.VISIBLE}={os.environ[devices.VISIBLE]!r})" if devices.VISIBLE in os.environ else ""
        yield bad(
            f"`device: cuda`, and no GPU is visible here{hidden}.",
            "Run this on the machine that has one (on a cluster: `srun --gpus=1 … python -m retcap doctor …`), or set "
            "`device: cpu`, which suits small checkpoints only.",
        )
    if config["device"] == "cpu" and found:
        yield note("`device: cpu` leaves the GPUs idle.", "Set `device: cuda` for a study of full size.")


def capacity() -> Iterator[Finding]:
    """Cores, memory, GPUs, and the disk of the results."""
    yield good(f"{len(os.sched_getaffinity(0))} CPU cores, {memory_mb() / 1000:.0f} GB of memory")
    if found := gpus():
        yield good("; ".join(f"GPU {gpu.index}: {gpu.name}, {gpu.memory_gb:.0f} GB" for gpu in found))
    free = shutil.disk_usage(".").free / GB
    if free < FREE_GB:
        yield bad(f"{free:.1f} GB of disk are free here, where results are written.", f"Free {FREE_GB} GB or more.")
    else:
        yield good(f"{free:.0f} GB of disk are free here, where results are written")


def gpus() -> list[Gpu]:
    """The GPUs that this process may use, as nvidia-smi tells them; empty without it."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        return []
    visible, found = devices.pool(), []
    for line in filter(None, done.stdout.split("\n")):
        index, uuid, name, mib = (cell.strip() for cell in line.split(","))
        if index in visible or any(uuid.startswith(own) for own in visible):
            found.append(Gpu(index, name, float(mib) / 1024))
    return found


def memory_mb() -> float:
    """Main memory of this machine, or what its container may have."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = file.read().strip()
    except OSError:
        limit = "max"
    return (whole if limit == "max" else min(whole, int(limit))) / 1e6
