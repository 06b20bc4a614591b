"""What torch keeps for the whole process, changed for a block and put back after it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draws on the CPU from `seed`, such as initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed: that would reseed the accelerators too
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """CPU threads of one operation; how many there are decides the order of sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
