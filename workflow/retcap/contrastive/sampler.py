"""Which rows an epoch shows, in which order, and who gets them: a function of (seed, epoch) and nothing else.

So an interrupted run goes on in the same order, with any number of workers, and every rank knows the whole order
without asking the others.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

Key = tuple[int, int, int]  # epoch, row, copy: everything that a drawn example depends on
MASK = 2**64 - 1


def draw(seed: int, epoch: int, row: int, copy: int, choices: int) -> int:
    """A number in 0..choices-1 that looks random, from the four numbers alone (SplitMix64, Steele et al. 2014, fig.
    17).

    >>> draw(0, 3, 17, 0, 5) == draw(0, 3, 17, 0, 5), {draw(1, epoch, 17, 0, 3) for epoch in range(20)}
    (True, {0, 1, 2})
    """
    state = 0
    for part in (seed, epoch, row, copy):
        state = (state + part + 0x9E3779B97F4A7C15) & MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return state % choices


def epoch_size(sizes: Sequence[int], weights: Sequence[float]) -> int:
    """Number of rows an epoch shows."""
    return sum(round(size * weight) for size, weight in zip(sizes, weights, strict=True))


def epoch_order(sizes: Sequence[int], weights: Sequence[float], seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, copies) of one epoch, mixed over all sets.

    A set of weight 2.3 is shown twice in full, and a random 30 % of it a third time, another 30 % in each epoch. Copies
    are numbered, so each copy of a row draws its own positive.
    """
    random = np.random.default_rng([seed, epoch])
    rows, copies = [], []
    start = 0
    for size, weight in zip(sizes, weights, strict=True):
        full, part = divmod(round(size * weight), size)
        rows += [np.arange(start, start + size)] * full + [start + random.choice(size, part, replace=False)]
        copies += [np.full(size, copy) for copy in range(full)] + [np.full(part, full)]
        start += size
    order = random.permutation(sum(map(len, rows)))
    return np.concatenate(rows)[order], np.concatenate(copies)[order]


class BatchesOfRank(Sampler[list[Key]]):
    """Batches of keys for one rank, as a data loader's batch sampler.

    A global batch is `ranks` x `batch_size` consecutive rows; each rank takes its slice. The last global batch is kept
    and shared out as evenly as it goes, unless it has fewer than two rows per rank, where in-batch negatives make no
    sense: then it is dropped. All ranks have the same number of batches.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float],
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ):
        self.sizes, self.weights, self.batch_size, self.seed = list(sizes), list(weights), batch_size, seed
        self.rank, self.ranks, self.epoch = rank, ranks, 0
        if batch_size * ranks < 2:
            raise ValueError("One pair per batch has no negatives, so nothing is learned. Use per_device_batch_size 2.")
        if len(self) == 0:
            raise ValueError(
                f"{epoch_size(sizes, weights)} training rows are too few for {ranks} rank(s): 2 each at least."
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(epoch_size(self.sizes, self.weights), self.ranks * self.batch_size)
        return full + (rest >= 2 * self.ranks)

    def __iter__(self) -> Iterator[list[Key]]:
        rows, copies = epoch_order(self.sizes, self.weights, self.seed, self.epoch)
        epoch, span = self.epoch, self.ranks * self.batch_size
        for number in range(len(self)):
            place = np.arange(number * span, min((number + 1) * span, len(rows)))
            mine = np.array_split(place, self.ranks)[self.rank]
            yield [(epoch, int(row), int(copy)) for row, copy in zip(rows[mine], copies[mine], strict=True)]
