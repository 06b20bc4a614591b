"""Progress of a long loop: a bar on a terminal, plain flushed lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)
Item = TypeVar("Item")
LINE_EVERY_S = 10.0


def progress(items: Iterable[Item], *, total: int | None = None, label: str = "", unit: str = "item") -> Iterator[Item]:
    """Yield the items unchanged and show how far the loop is.

    On a terminal this is a tqdm bar. Otherwise one line about every ten seconds, and one at the end, goes to stderr and
    to the job's log, so that a background run can be followed with `tail -f`.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, unit=unit, leave=False)
        return
    started = last = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):  # noqa: B007  the count is needed after the loop
        yield item
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            last = now
            _line(label, done, total, now - started, unit)
    _line(label, done, total, time.monotonic() - started, unit)


def _line(label: str, done: int, total: int | None, seconds: float, unit: str) -> None:
    of = f"/{total}" if total is not None else ""
    text = f"{label}: {done}{of} {unit}s, {seconds:.0f} s, {done / max(seconds, 1e-9):.1f} {unit}s/s"
    log.info("%s", text)
    print(text, file=sys.stderr, flush=True)
