"""Leases free GPUs to concurrent jobs by file locks, because Snakemake counts GPUs but hands out no device ids.

One lock file per device id. A lease takes all of its n locks or none, and holds them as open file descriptors: when the
job ends in any way, also by SIGKILL, the kernel closes them and the devices are free. Inside SLURM nothing is leased:
SLURM has already pinned the devices of the job.
"""

import fcntl
import logging
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.reruns.digest
VISIBLE = "CUDA_VISIBLE_DEVICES"


class NotEnoughDevices(RuntimeError):
    """More GPUs were asked for than this machine shows."""


def pool() -> list[str]:
    """Ids of the GPUs this process may use: `CUDA_VISIBLE_DEVICES` where set, else what nvidia-smi lists, else none."""
    if VISIBLE in os.environ:
        return [device.strip() for device in os.environ[VISIBLE].split(",") if device.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def lock_folder() -> Path:
    """Folder of the lock files: one per machine and user, so that two pipelines of one user share the GPUs too."""
    folder = os.environ.get("RETCAP_LOCKS") or Path(tempfile.gettempdir()) / f"retcap-devices-{os.getuid()}"
    return Path(folder)


@contextmanager
def lease(count: int, poll_s: float = 0.2) -> Iterator[list[str]]:
    """Hold `count` GPUs for the time of the block; yields their ids and sets `CUDA_VISIBLE_DEVICES` to them.

    count = 0 hides every GPU from the process. Inside a SLURM job the environment stays as SLURM set it. Waits until
    enough devices are free; raises NotEnoughDevices when the machine does not have that many at all.
    """
    if count < 0:
        raise ValueError(f"The number of GPUs must not be negative. Got {count} instead.")
    if "SLURM_JOB_ID" in os.environ:
        yield pool() if count else []
        return
    before = os.environ.get(VISIBLE)
    devices = pool() if count else []
    if count > len(devices):
        raise NotEnoughDevices(
            f"This job needs {count} GPU(s), but {len(devices)} are visible here ({VISIBLE}={before!r}). Run with "
            f"`--resources gpu={len(devices)}`, or set `device: cpu` in the configuration."
        )
    held = _acquire(devices, count, poll_s)
    try:
        os.environ[VISIBLE] = ",".join(held)
        yield list(held)
    finally:
        for descriptor in held.values():
            os.close(descriptor)
        if before is None:
            os.environ.pop(VISIBLE, None)
        else:
            os.environ[VISIBLE] = before


def _acquire(devices: list[str], count: int, poll_s: float) -> dict[str, int]:
    if count == 0:
        return {}
    folder = lock_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    jitter = random.Random(os.getpid())  # back-off only: two waiting jobs must not retry in step
    waited = False
    while True:
        held: dict[str, int] = {}
        for device in devices:
            if len(held) == count:
                break
            descriptor = os.open(folder / f"{device}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held[device] = descriptor
            except BlockingIOError:
                os.close(descriptor)
        if len(held) == count:
            return held
        for descriptor in held.values():  # all or nothing: holding one of two while waiting can deadlock two jobs
            os.close(descriptor)
        if not waited:
            log.info("waiting for %d free GPU(s) of %s", count, ",".join(devices))
            waited = True
        time.sleep(poll_s * (0.5 + jitter.random()))
