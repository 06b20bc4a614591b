"""What the captions of a model cost: time, tokens, memory and energy, from what its job recorded."""

from collections.abc import Mapping
from typing import Any


def cost(entry: Mapping[str, Any]) -> dict[str, float | int | None] | None:
    """Seconds of all captions (those kept from an earlier run too), rates, tokens, peak memory; None but for a model.

    `entry`: of the summary. Captions per second is of generation alone, without loading. The peak is that of the job
    that ran last: one that kept captions from before may have needed less. Its energy, loading included, is shared
    among the captions that it made itself. A value that nobody recorded is None.

    >>> cost({"kind": "model", "status": "completed", "seconds": 8.0, "captioned": 4, "mean_tokens": 10.0,
    ...       "counts": {"ok": 3, "empty": 1}, "peak_memory_mb": 900.0})["captions_per_second"]
    0.5
    """
    if entry.get("kind") != "model" or entry.get("status") != "completed":
        return None
    counts = entry.get("counts") or {}
    made = sum(counts.get(status) or 0 for status in ("ok", "empty", "cleaned_to_empty"))
    seconds, mean = entry.get("seconds"), entry.get("mean_tokens")
    asked = made + (counts.get("failed") or 0)  # the mean is over these, and a failed one has no token
    energy, fresh = entry.get("energy_j"), asked - (entry.get("kept_from_before") or 0)
    return {
        "seconds": seconds,
        "captions": made,
        "captions_per_second": made / seconds if seconds else None,
        "tokens": None if mean is None else round(mean * asked),
        "tokens_per_second": mean * asked / seconds if seconds and mean is not None else None,
        "peak_memory_mb": entry.get("peak_memory_mb"),
        "gpu_peak_memory_mb": entry.get("gpu_peak_memory_mb"),
        "joules_per_caption": energy / fresh if energy is not None and fresh > 0 else None,
    }
