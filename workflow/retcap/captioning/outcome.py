"""The outcome of one system: who it is, how it ended and why. The head of its `<system>_metrics.json`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from retcap import plugins
from retcap.captioning import files

KILLED = (
    "killed: the job ended without a word, most often because the machine or the job's memory limit ran out. "
    "Give it more memory (`--set-resources caption:mem_mb=...`) or a smaller batch, and run again."
)


def completed(study: Any, captions: Any, about: dict[str, Any]) -> dict[str, Any]:
    """A model that went through the whole split; single pairs may still have failed (their captions are empty)."""
    return (
        _identity(study) | {"status": "completed", "reason": None, "seconds": float(captions["seconds"].sum())} | about
    )


def failed(study: Any, reason: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A model that could not caption at all: every pair keeps its place, with an empty caption and the reason."""
    items = files.read_items(study.pairs)
    captions = pd.DataFrame({"item_id": items["item_id"], "raw": "", "status": "failed", "reason": reason})
    return captions, _identity(study) | {"status": "failed", "reason": reason, "seconds": 0.0}


def lost(study: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A model whose job was killed: recorded by the second attempt of the job, which does not try again."""
    return failed(study, KILLED)


def baseline(name: str) -> dict[str, Any]:
    """A baseline is made, not run; it has no model id."""
    head = {"model_name": name, "model_id": None, "kind": "baseline", "status": "completed", "reason": None}
    return head | {"seconds": 0.0}


def read(path: str | Path) -> dict[str, Any]:
    """Read what a captioning job wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def line(result: dict[str, Any]) -> str:
    """A failure for the terminal."""
    return f"{result['model_name']} failed: {result['reason']}"


def _identity(study: Any) -> dict[str, Any]:
    card = plugins.load("captioners", study.captioner).CARD
    return {
        "model_name": study.captioner,
        "model_id": card.model_id,
        "kind": "model",
        "checkpoint": study.checkpoint,
        "revision": study.revision or card.revision,
        "image_policy": study.image_policy,
        "prompt_set": study.prompt,
        "batch_size": study.batch_size,
        "max_new_tokens": study.max_new_tokens,
    }
