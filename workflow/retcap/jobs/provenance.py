"""Provenance record of a job: what ran, with which code, settings, versions and devices, how long, in how much memory.

Written as `<log path>.json` beside the job's log file; the report collects them.
"""

import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from retcap.files.whole import replacing
from retcap.jobs import energy
from retcap.reruns import params

SHAPES_RESULTS = False  # see retcap.reruns.digest
PACKAGES = (
    "torch",
    "transformers",
    "open_clip_torch",
    "faiss-gpu",
    "faiss-cpu",
    "sacrebleu",
    "pycocoevalcap",
    "pandas",
)
PASSING = ("clock", "energy_before")  # what `end` makes something else of
KIB_PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024  # ru_maxrss is KiB on Linux and bytes on macOS


def begin(snakemake: Any) -> dict[str, Any]:
    """Everything that is known before the work starts."""
    given = {name: value for name, value in snakemake.params.items() if name not in ("code", "again")}
    commit, dirty = git_state()
    return {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards.items()),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seed": snakemake.params.get("seed"),
        "code": params.digest_of(snakemake.params.get("code")),
        "params": given,
        "threads": snakemake.threads,
        "commit": commit,
        "dirty": dirty,
        "versions": versions(),
        "host": platform.node(),
        "devices": [],
        "clock": time.monotonic(),
    }


def end(record: dict[str, Any], log_file: Path, status: str) -> None:
    """Add seconds, peak memory, energy and device, and write the record beside the log file (whole or not at all)."""
    record = dict(record)
    record["seconds"] = round(time.monotonic() - record.pop("clock"), 3)
    record |= peak_memory()
    record["energy_j"] = energy.since(record.pop("energy_before", None), record["devices"])
    record["device"] = _device()
    record["status"] = status
    with replacing(log_file.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(record, indent=1, default=str), encoding="utf-8")


def peak_memory() -> dict[str, float | None]:
    """Peak memory of this process so far (or of a child, where that was larger), and of its GPU, in MB."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    torch = _torch_on_gpu()
    return {
        "peak_memory_mb": round(max(own, children) / KIB_PER_MB, 1),
        "gpu_peak_memory_mb": None if torch is None else round(torch.cuda.max_memory_allocated() / 2**20, 1),
    }


def describe(record: dict[str, Any]) -> str:
    """The record as the head of a log file."""
    return json.dumps({key: value for key, value in record.items() if key not in PASSING}, indent=1, default=str)


@cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that can change a number; nothing is imported for it."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout this package lies in, and whether its files differ from it; None where git is not.

    They differ where a tracked file was changed, and where the workflow has files of its own, such as a new plugin.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        own = git("ls-files", "--others", "--exclude-standard", "--", ":/workflow")  # not the data beside it
        return git("rev-parse", "HEAD"), bool(changed or own)
    except (OSError, subprocess.SubprocessError):
        return None, None


def _device() -> str:
    torch = _torch_on_gpu()
    return f"cpu ({platform.machine()})" if torch is None else torch.cuda.get_device_name(0)


def _torch_on_gpu() -> Any:
    """torch, if this process imported it and has a GPU."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_available() else None
