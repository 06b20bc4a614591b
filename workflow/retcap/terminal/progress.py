"""Progress of a long loop: a message to who listens, else a bar on a terminal, plain flushed lines elsewhere."""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from retcap.terminal import messages

log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.reruns.digest
Item = TypeVar("Item")
LINE_EVERY_S = 10.0
MESSAGE_EVERY_S = 1.0
WORTH_A_LINE_S = 5.0  # a loop that ends sooner goes to the log alone: many short jobs would drown the long ones


def progress(items: Iterable[Item], *, total: int | None = None, label: str = "", unit: str = "item") -> Iterator[Item]:
    """Yield the items unchanged and show how far the loop is.

    One line about every ten seconds, and one at the end, goes to the job's log. In a run of the workflow the terminal
    shows what the messages say. In a script of its own this is a tqdm bar on a terminal, and elsewhere the lines of the
    log, so that it can be followed with `tail -f`; loops of a few seconds go to the log alone.
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
    return _bar(label, unit) if sys.stderr.isatty() and not messages.heard() else _lines(label, unit)


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
    started = last_line = time.monotonic()
    last_message = -math.inf
    units = f"{unit}es" if unit.endswith("ch") else f"{unit}s"
    speed = Speed()

    def show(done: int, total: int | None) -> None:
        nonlocal last_line, last_message
        now = time.monotonic()
        per_s = speed.per_s(done, now)
        left_s = _left(done, total, per_s)
        if messages.heard() and (done == total or now - last_message >= MESSAGE_EVERY_S):
            last_message = now
            messages.tell("progress", "", label=label, done=done, total=total, unit=units, left_s=left_s)
        if done != total and now - last_line < LINE_EVERY_S:
            return
        last_line = now
        text = f"{label}: {done}{'' if total is None else f'/{total}'} {units}, {now - started:.0f} s"
        text += f", {per_s:.1f} {units}/s" if per_s else ""
        text += f", about {_span(left_s)} left" if left_s else ""
        log.info("%s", text)
        if now - started >= WORTH_A_LINE_S and not messages.heard():
            print(text, file=sys.stderr, flush=True)

    return show


class Speed:
    """How quick a loop is from the first time it is heard of: one that was resumed begins far from 0."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None  # items, time

    def per_s(self, done: int, now: float) -> float | None:
        """Items per second; None the first time."""
        if self._first is None:
            self._first = (done, now)
        items, seconds = done - self._first[0], now - self._first[1]
        return items / seconds if items and seconds else None


def _left(done: int, total: int | None, per_s: float | None) -> float | None:
    """Seconds that the rest will take at this speed."""
    return round((total - done) / per_s, 1) if per_s and total is not None else None
