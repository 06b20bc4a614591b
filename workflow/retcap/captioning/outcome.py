"""The outcome of one system: who it is, how it ended and why. The head of its `<system>_metrics.json`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retcap import plugins
from retcap.captioning.weights import Weights

PEAKS = ("peak_memory_mb", "gpu_peak_memory_mb")  # of the job; of shards, the largest
IDENTITY = ("model_id", "revision", "weights_sha256", "dtype", "device")  # what shards of one model have in common
BASELINES = ("human", "blind", "shuffled")  # rows of the study beside the models


def completed(study: Any, weights: Weights, captions: Any, about: dict[str, Any]) -> dict[str, Any]:
    """A model that went through the whole split; single pairs may still have failed (their captions are empty)."""
    return _identity(study, weights) | {"status": "completed", "reason": None} | about | counted(captions)


def counted(captions: Any) -> dict[str, Any]:
    """What a table of captions says of the model: seconds spent on it, captions with words, mean of new tokens."""
    return {
        "seconds": float(captions["seconds"].sum()),
        "captioned": int((captions["status"] == "ok").sum()),
        "mean_tokens": float(captions["tokens"].mean()) if len(captions) else None,
    }


def merged(parts: Sequence[dict[str, Any]], captions: Any) -> dict[str, Any]:
    """The outcome of one model from those of its shards, in order; `captions`: the whole table.

    ValueError where the shards were not captioned with one and the same model: a hub id without a commit may have
    other weights by the hour.
    """
    first = parts[0]
    for name in IDENTITY:
        if len(found := {json.dumps(part[name]) for part in parts}) > 1:
            raise ValueError(
                f"The shards of {first['model_name']} differ in {name}: {', '.join(sorted(found))}. Caption them again "
                "(`snakemake --forcerun caption`), with captioning.options.<name>.revision set to a commit."
            )
    lost = [part["failed_pairs"] for part in parts]
    pairs = {
        "failed": sum(one["failed"] for one in lost),
        "of": sum(one["of"] for one in lost),
        "first": next((one["first"] for one in lost if one["failed"]), None),
        "tried_again": any(one["tried_again"] for one in lost),
        "shards": [shard for shard, one in enumerate(lost) if one["failed"]],
    }
    sums = {name: sum(part[name] for part in parts) for name in ("kept_from_before", "at_token_cap")}
    peaks = {name: max((part.get(name) or 0.0 for part in parts), default=0.0) or None for name in PEAKS}
    spent = [part.get("energy_j") for part in parts]
    energy = {"energy_j": None if None in spent else sum(filter(None, spent))}
    return first | sums | peaks | energy | counted(captions) | {"failed_pairs": pairs}


def jobs(captioner: str, found: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Rule and wildcards of the jobs in whose captions pairs failed."""
    shards = found.get("failed_pairs", {}).get("shards")
    if shards is None:
        return [("caption", {"captioner": captioner})]
    return [("caption", {"captioner": captioner, "shard": str(shard)}) for shard in shards]


def failed(name: str, reason: str) -> dict[str, Any]:
    """A system without captions, or one that failed on too many pairs: nothing is known of it but the reason.

    No model id either: the published one would stand for weights that were perhaps never meant.
    """
    head = {"model_name": name, "model_id": None, "kind": kind(name), "status": "failed", "reason": reason}
    return head | {"seconds": 0.0}


def kind(name: str) -> str:
    """What a system is, by its name: a model, a baseline, or captions made elsewhere, which have names of their own."""
    if name in plugins.names("captioners"):
        return "model"
    return "baseline" if name in BASELINES else "elsewhere"


def baseline(name: str, about: dict[str, Any]) -> dict[str, Any]:
    """A baseline is made, not run; it has no model id. `about` says what it was made from."""
    head = {"model_name": name, "model_id": None, "kind": "baseline", "status": "completed", "reason": None}
    return head | {"seconds": 0.0} | about


def elsewhere(name: str, source: dict[str, Any]) -> dict[str, Any]:
    """Captions made elsewhere: nothing is known of the model but the file. `source`: its path, SHA-256 and counts."""
    lost = {"failed": source["pairs_without_caption"], "of": source["pairs"], "first": None, "tried_again": None}
    head = {"model_name": name, "model_id": None, "kind": "elsewhere", "status": "completed", "reason": None}
    return head | {"seconds": None, "source": source, "failed_pairs": lost}


def read(path: str | Path) -> dict[str, Any]:
    """Read what a captioning job wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _identity(study: Any, weights: Weights) -> dict[str, Any]:
    """Which model it was. `model_id`: the hub id or the folder that was loaded, null for a tiny checkpoint; a revision
    belongs to a hub repository, a hash to a folder. `architecture_of`: the published model of this architecture.
    """
    card = plugins.load("captioners", study.captioner).CARD
    return {
        "model_name": study.captioner,
        "model_id": None if study.checkpoint == "tiny" else weights.source,
        "revision": weights.revision,
        "weights_sha256": weights.sha256,
        "architecture": card.architecture,
        "architecture_of": card.model_id,
        "kind": "model",
        "checkpoint": study.checkpoint,
        "image_policy": study.image_policy,
        "prompt_set": study.prompt,
        "batch_size": study.batch_size,
        "max_new_tokens": study.max_new_tokens,
    }
