"""Work done ahead by several threads or processes, taken in the order of the items."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any


def in_order(pool: Executor, function: Callable, items: Iterable, window: int) -> Iterator[Any]:
    """`pool.map` that never runs more than `window` items ahead of its consumer."""
    source = iter(items)
    pending = deque(pool.submit(function, item) for item in itertools.islice(source, window))
    while pending:
        done = pending.popleft().result()
        pending.extend(pool.submit(function, item) for item in itertools.islice(source, 1))
        yield done
