"""An amount of memory that threads share: whoever needs more than is left waits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Allowance:
    """`amount` bytes for all threads together. A need above all of it is met too, but only when no other is."""

    def __init__(self, amount: int):
        self.amount = amount
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, need: int) -> Iterator[None]:
        """Hold `need` bytes within the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + need <= self.amount)
            self._taken += need
        try:
            yield
        finally:
            with self._changed:
                self._taken -= need
                self._changed.notify_all()
