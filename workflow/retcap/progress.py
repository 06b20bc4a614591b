"""Progress of a long loop: a bar on a terminal, plain flushed lines elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.digest
Item = TypeVar("Item")
LINE_EVERY_S = 10.0
WORTH_A_LINE_S = 5.0  # a loop that ends sooner goes to the log alone: many short jobs would drown the long ones


def progress(items: Iterable[Item], *, total: int | None = None, label: str = "", unit: str = "item") -> Iterator[Item]:
    """Yield the items unchanged and show how far the loop is.

    On a terminal this is a tqdm bar. Otherwise one line about every ten seconds, and one at the end, goes to the job's
    log and to stderr, so that a background run can be followed with `tail -f`; loops of a few seconds to the log alone.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    show = meter(label, unit)
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        show(done, total)
    if done != total:  # the end of a loop of unknown length has not been shown as such
        show(done, done)


def meter(label: str, unit: str = "item") -> Callable[[int, int | None], None]:
    """A function that is told (done, total) as often as the caller likes and shows it, as `progress` does."""
    return _bar(label, unit) if sys.stderr.isatty() else _lines(label, unit)


def _bar(label: str, unit: str) -> Callable[[int, int | None], None]:
    from tqdm import tqdm

    bar = tqdm(desc=label, unit=unit, leave=False)

    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show


def _span(seconds: float) -> str:
    """A time span as one reads it while waiting.

    >>> _span(42), _span(100), _span(3700)
    ('42 s', '2 min', '1 h 2 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _lines(label: str, unit: str) -> Callable[[int, int | None], None]:
    started = last = time.monotonic()
    first: tuple[int, float] | None = None  # what was done before the first call is not of this session's speed

    def show(done: int, total: int | None) -> None:
        nonlocal last, first
        now = time.monotonic()
        first = first or (done, now)
        if done != total and now - last < LINE_EVERY_S:
            return
        last, seconds = now, now - started
        before, since = first if done > first[0] else (0, started)
        rate = (done - before) / max(now - since, 1e-9)
        of = f"/{total}" if total is not None else ""
        units = f"{unit}es" if unit.endswith("ch") else f"{unit}s"
        text = f"{label}: {done}{of} {units}, {seconds:.0f} s, {rate:.1f} {units}/s"
        if total is not None and done < total and rate > 0:
            text += f", {_span((total - done) / rate)} left"
        log.info("%s", text)
        if seconds >= WORTH_A_LINE_S:
            print(text, file=sys.stderr, flush=True)

    return show
