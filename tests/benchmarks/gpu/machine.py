"""What the machine has: the device, versions, commit, and which packages are missing."""

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import time
from functools import cache
from typing import Any

REQUIRED = ("torch", "transformers", "numpy", "pyarrow", "safetensors")
CARRIED = ("msgspec", "jaxtyping", "wadler_lindig", "accelerate", "psutil", "PIL")  # small wheels, to bring along
OPTIONAL = {
    "torchvision": "two captioners have processors that import it",
    "faiss": "the package's own search",
    "open_clip": "backbones of open_clip",
}
DISTRIBUTIONS = ("torch", "transformers", "accelerate", "numpy", "pyarrow", "safetensors", "faiss-gpu", "torchvision")


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those of the packages that cannot be imported here."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def lack() -> str:
    """Why no part can run here; "" where all can."""
    absent = missing(REQUIRED + CARRIED)
    return (
        f"This machine lacks {', '.join(absent)}. Bring the wheels along (python -m pip download --no-deps …) and "
        "install them with `python -m pip install --no-index --no-deps --target DIR WHEELS`, then set PYTHONPATH=DIR."
        if absent
        else ""
    )


@cache
def about(dry: bool, commit: str | None = None) -> dict[str, Any]:
    """Date, device, versions and commit: what every measurement is published with."""
    import torch

    found, changed = _git()
    record: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit or found or "unknown",
        "changed": changed if commit is None else None,
        "device": processor() if dry or not torch.cuda.is_available() else torch.cuda.get_device_name(0),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "cuda": torch.version.cuda if not dry else None,
        "versions": _versions(),
    }
    if not dry and torch.cuda.is_available():
        record["memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
        record["driver"] = smi("driver_version")
    return record


def processor() -> str:
    """What stands for the device where the CPU does the work."""
    return f"CPU ({platform.machine()})"


def smi(field: str) -> str | None:
    """One field of nvidia-smi for the first GPU; None where it cannot be asked."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip() or None


def _versions() -> dict[str, str]:
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git() -> tuple[str | None, bool | None]:
    from retcap.jobs.provenance import git_state

    return git_state()
