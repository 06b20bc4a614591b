"""Where the time of a step goes, by kind of kernel."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from gpu.measure import synchronise

KINDS = {  # by pieces of the names of kernels (on a GPU) or operators (on a CPU); the first that fits counts
    "optimiser": ("adam", "multi_tensor", "foreach", "norm_grad"),
    "attention": ("flash", "fmha", "attention", "cutlass_fmha"),
    "matrix products": ("gemm", "cutlass", "nvjet", "mm", "linear", "convolution", "cudnn", "xmma"),
    "normalisation": ("layer_norm", "layernorm", "softmax"),
    "copies": ("memcpy", "memset", "copy", "cat", "index", "gather", "scatter"),
}


def kind(name: str) -> str:
    """The kind of a kernel by its name.

    >>> kind("void flash_fwd_kernel<...>"), kind("sm90_xmma_gemm_bf16"), kind("vectorized_elementwise_kernel")
    ('attention', 'matrix products', 'elementwise and other')
    """
    lower = name.lower()
    return next(
        (kind for kind, pieces in KINDS.items() if any(piece in lower for piece in pieces)), "elementwise and other"
    )


def shares(step: Callable[[], Any], device: torch.device, *, steps: int) -> dict[str, Any]:
    """Percent of the time of all kernels by kind, and percent of the wall-clock time in which none ran."""
    for _ in range(min(steps, 3)):
        step()
    synchronise(device)
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    with profile(activities=activities) as recorded:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        synchronise(device)
        wall = time.perf_counter() - start
    spent: Counter[str] = Counter()
    for event in recorded.key_averages():
        on_device = "cuda" in str(event.device_type).lower()
        if getattr(event, "is_user_annotation", False):
            continue  # it spans kernels that are counted themselves
        if on_device or not cuda:
            spent[kind(event.key)] += event.self_device_time_total if cuda else event.self_cpu_time_total
    total = sum(spent.values())
    assert total > 0, "the profiler saw no kernel"
    values: dict[str, Any] = {f"{name} %": 100 * spent[name] / total for name in (*KINDS, "elementwise and other")}
    return {
        **values,
        "no kernel at work %": max(0.0, 100 * (1 - total / 1e6 / wall)),
        "profiled ms per step": 1000 * wall / steps,
    }
