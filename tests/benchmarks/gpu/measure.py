"""Times, peak memory and finite outputs; and a lid on the device's memory."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

GIB = 2**30
LEAST = 3  # calls that are timed whatever they take, unless fewer are asked for


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(
    work: Callable[[], Any], device: torch.device, *, warmup: int = 3, repeats: int = 10, limit_s: float = 30.0
) -> tuple[float, float]:
    """(median seconds of one call, spread as a fraction of it), after a warm-up, every call synchronised.

    The spread is the distance between the quartiles. Stops after `limit_s`, but not before LEAST calls. What the
    last call returned must be finite.
    """
    result = None
    for _ in range(warmup):
        result = work()
    synchronise(device)
    seconds: list[float] = []
    begun = time.perf_counter()
    while len(seconds) < repeats and (len(seconds) < LEAST or time.perf_counter() - begun < limit_s):
        result = None  # or the last result would live beside the next one
        start = time.perf_counter()
        result = work()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    finite(result)
    middle = statistics.median(seconds)
    low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else (middle,) * 3
    return middle, (high - low) / middle


def finite(result: Any, what: str = "the output") -> None:
    """FloatingPointError if a tensor in the result, however deep, holds NaN or infinity."""
    if isinstance(result, Tensor):
        if result.is_floating_point() and not bool(torch.isfinite(result).all()):
            raise FloatingPointError(f"{what} holds NaN or infinity, so no time of it means anything.")
    elif isinstance(result, dict):
        for part in result.values():
            finite(part, what)
    elif isinstance(result, list | tuple):
        for part in result:
            finite(part, what)


class Peak:
    """Most memory on the device during a `with` block: `allocated` by tensors, `reserved` by the allocator (bytes)."""

    allocated = reserved = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> "Peak":
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.allocated = torch.cuda.max_memory_allocated(self.device)
            self.reserved = torch.cuda.max_memory_reserved(self.device)

    def values(self) -> dict[str, float]:
        """GiB by name; nothing where there is no GPU."""
        if self.device.type != "cuda":
            return {}
        return {"peak GiB": round(self.allocated / GIB, 2), "reserved GiB": round(self.reserved / GIB, 2)}


@contextmanager
def lid(device: torch.device, reserved: int, module: nn.Module, rows: int) -> Iterator[None]:
    """No more than `reserved` bytes of the device for the block.

    A CPU has no such lid: there, `module` is made to raise the GPU's error for more than `rows` rows instead.
    """
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(reserved / total, 1.0), device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        return

    def refuse(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        given = [value for value in (*arguments, *named.values()) if isinstance(value, Tensor) and value.ndim]
        if given and len(given[0]) > rows:
            raise torch.OutOfMemoryError("out of memory, as the dry mode has it")

    handle = module.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def relative(found: Tensor, wanted: Tensor) -> float:
    """Length of the difference, in lengths of what is wanted; both as one vector in fp64 on the CPU."""
    found, wanted = (value.detach().cpu().double().flatten() for value in (found, wanted))
    return float((found - wanted).norm() / wanted.norm())
