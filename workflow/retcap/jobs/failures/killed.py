"""What is known of a job that was killed. It could not say anything itself, so its next attempt does.

While a job runs, a file says where it does. An attempt that ends by itself removes the file; after a kill the next one
finds it. Snakemake starts a killed job once more (`retries`): here, that attempt only records the death, because the
machine is no larger than before. On SLURM a new allocation may be: there the second attempt works, with twice the
memory, and the third one records.
"""

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from retcap.jobs.failures import alone

SHAPES_RESULTS = False  # see retcap.reruns.digest
COUNTERS = Path("/proc/vmstat")  # Linux: `oom_kill` counts the processes ended for want of memory, in any cgroup
WITHOUT_A_WORD = "killed: the job ended without a word, most often for want of memory."


class Killed(Exception):
    """An earlier attempt of this job was killed."""

    def __init__(self, reason: str, remedy: str):
        super().__init__(reason)
        self.remedy = remedy


class Running(msgspec.Struct):
    """Where an attempt runs, and how many processes the machine had ended for want of memory before."""

    host: str
    allocation: str | None  # SLURM's job
    oom_kills: int | None
    asked_to_end: bool = False  # by SIGTERM


def begin(path: Path) -> None:
    """Say that an attempt runs here."""
    _write(path, Running(platform.node(), os.environ.get("SLURM_JOB_ID"), _oom_kills()))


def end(path: Path) -> None:
    """Say that it ended by itself."""
    path.unlink(missing_ok=True)


def terminated(path: Path) -> None:
    """Say that it was asked to end."""
    if (before := _read(path)) is not None:
        _write(path, msgspec.structs.replace(before, asked_to_end=True))


def check(path: Path, attempt: int, rule: str, wildcards: Mapping[str, str], resources: Mapping[str, Any]) -> None:
    """Raise Killed where an earlier attempt was killed and another one would not fare better."""
    if attempt == 1:
        return
    before = _read(path)
    allocation = os.environ.get("SLURM_JOB_ID")
    if attempt == 2 and allocation is not None and (before is None or before.allocation != allocation):
        return
    more = alone.more_memory(rule, wildcards, resources.get("mem_mb"))
    now = _oom_kills()
    if before is None or before.host != platform.node():
        raise Killed(WITHOUT_A_WORD, more)
    if before.asked_to_end:
        had = f"it had {resources.get('runtime')} min"
        limit = f"Where a time limit ended it, give it more: `--set-resources {rule}:runtime=...` ({had})."
        raise Killed("killed: the job was asked to end (SIGTERM), by a person, a time limit or the cluster.", limit)
    if now is not None and before.oom_kills is not None and now > before.oom_kills:
        raise Killed(f"killed: memory ran out on {before.host} while the job ran.", more)
    raise Killed(WITHOUT_A_WORD, more)


def _oom_kills() -> int | None:
    try:
        found = re.search(r"^oom_kill (\d+)$", COUNTERS.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def _read(path: Path) -> Running | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.MsgspecError):  # a machine that went down may leave half a file
        return None


def _write(path: Path, running: Running) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(running))
