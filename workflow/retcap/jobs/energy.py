"""Energy that the GPUs of a job took while it ran, as their driver counts it (NVML, GPUs since Volta).

The counter is the whole board's: what another process does on a GPU of the job counts too, and so does idling. Read by
`nvidia-ml-py` where that is installed; everything else (no such package, no driver, a slice of a GPU, an old GPU, a
number that NVML does not give) is None, never 0.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

SHAPES_RESULTS = False  # see retcap.reruns.digest
MILLI = 1e-3


def counters(devices: Sequence[str]) -> list[float] | None:
    """Joules that each GPU has taken since its driver was loaded; `devices`: indices or UUIDs. None: not known."""
    if not devices:
        return None
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except Exception:
        return None
    try:
        return [pynvml.nvmlDeviceGetTotalEnergyConsumption(_handle(pynvml, one)) * MILLI for one in devices]
    except Exception:  # NVML's own errors, one class per cause
        return None
    finally:
        with contextlib.suppress(Exception):
            pynvml.nvmlShutdown()


def since(before: list[float] | None, devices: Sequence[str]) -> float | None:
    """Joules of all these GPUs together since `counters` gave `before`. None where a counter began anew."""
    after = counters(devices) if before is not None else None
    if before is None or after is None or any(late < early for early, late in zip(before, after, strict=True)):
        return None
    return round(sum(after) - sum(before), 3)


def _handle(pynvml: Any, device: str) -> Any:
    if device.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(device))
    if not device.startswith("GPU-"):  # MIG-…: the board's counter is not that of a slice
        raise LookupError(device)
    return pynvml.nvmlDeviceGetHandleByUUID(device)
