"""Whether weights are there or can be had: folders, the cache of the hub, and the hub itself."""

import shutil
from pathlib import Path
from typing import NamedTuple

from retcap.doctor.findings import Finding, bad, good
from retcap.jobs import hub

SHAPES_RESULTS = False  # see retcap.reruns.digest


class Wanted(NamedTuple):
    """Weights that the configuration names."""

    name: str  # whose they are
    source: str  # hub id or folder
    revision: str | None
    key: str  # of the configuration, where a folder could be named instead
    gigabytes: float | None = None  # to download; None: not known


def is_hub_id(source: str) -> bool:
    """Whether weights have to come from the hub, or from its cache."""
    return not Path(source).is_dir() and hub.HUB_ID.fullmatch(source) is not None


def finding(wanted: Wanted, *, online: bool) -> tuple[Finding, float]:
    """What is to be said, and how many GB the run will download. `online`: whether the hub answers."""
    if not is_hub_id(wanted.source):
        return _folder(wanted), 0.0
    revision = wanted.revision or "main"
    if hub.snapshot(wanted.source, revision) is not None:
        return good(f"{wanted.name}: {wanted.source} is in the cache of the hub"), 0.0
    place = f"{wanted.name}: {wanted.source} at {revision[:12]}"
    if not online:
        remedy = (
            f"Run `hf download {wanted.source} --revision {revision}` where there is a network, set HF_HOME to that "
            f"cache, or {wanted.key} to a folder."
        )
        return bad(f"{place} is not in the cache, and the hub is out of reach.", remedy), 0.0
    if (said := hub.refusal(wanted.source, revision)) is not None:
        return bad(f"{place} cannot be had: {said.reason}.", said.remedy), 0.0
    size = "" if wanted.gigabytes is None else f" (about {wanted.gigabytes:.0f} GB)"
    return good(f"{place} will be downloaded by the run{size}"), wanted.gigabytes or 0.0


def _folder(wanted: Wanted) -> Finding:
    folder = Path(wanted.source)
    if not folder.is_dir():
        return good(f"{wanted.name}: {wanted.source}, which its library knows by name, at {wanted.revision}")
    if any(folder.glob("*.safetensors")):
        return good(f"{wanted.name}: weights from {folder}")
    return bad(f"{wanted.name}: {folder} holds no *.safetensors.", f"Correct {wanted.key}, or convert the weights.")


def room(gigabytes: float) -> Finding:
    """Whether the disk of the cache holds what is to be downloaded."""
    cache = hub.cache()
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / 1e9
    text = f"{gigabytes:.0f} GB of weights go to {cache}, where {free:.0f} GB are free"
    if free > gigabytes:
        return good(text)
    return bad(f"{text}.", "Free the difference, or set HF_HOME to a folder on another disk.")
