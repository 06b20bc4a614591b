"""What a part is made of, and how its cases are run one after another within a budget of minutes."""

import gc
import logging
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from gpu import machine
from retcap.files import jsonl

log = logging.getLogger(__name__)
Size = TypeVar("Size")
FILE = "measurements.jsonl"
LEAST_S = 5  # of the budget, below which no further case is begun


class LeftOut(Exception):
    """A case that cannot run here; the message says why."""


class OutOfTime(BaseException):
    """The budget ended while a case was at work. No Exception: the package takes those for faults of single items."""


@dataclass(frozen=True)
class Context:
    """Where the cases run and how large."""

    device: torch.device
    dry: bool
    scratch: Path

    def size(self, full: Size, toy: Size) -> Size:
        """The size of a GPU run, or that of the dry mode: the one difference between the two."""
        return toy if self.dry else full

    @property
    def cuda(self) -> bool:
        """Whether a GPU does the work."""
        return self.device.type == "cuda"


@dataclass(frozen=True)
class Case:
    """One measurement: a name and a function that returns its values by name (unit included)."""

    name: str
    run: Callable[[Context], dict[str, Any]]
    needs: tuple[str, ...] = ()  # packages beyond the required ones


def run(part: str, cases: list[Case], context: Context, out: Path, about: dict[str, Any], seconds: float) -> int:
    """Run what is not measured yet and append a record per case; gives the number of failed ones.

    A case that fails, or has no time left, is recorded with its reason and harms no other. An error that leaves the
    device unusable ends the part, since every later case would fail for this one's fault.
    """
    out.mkdir(parents=True, exist_ok=True)
    ends, failed = time.monotonic() + seconds, 0
    done = {record["case"] for record in read(out) if record["part"] == part and settled(record, about, context.dry)}
    for case in cases:
        if case.name in done:
            log.info("%s: %s is measured already", part, case.name)
            continue
        begun = time.monotonic()
        record, broken = _outcome(case, context, ends)
        record = {"part": part, "case": case.name, "dry": context.dry, **record, "about": about}
        record["seconds"] = round(time.monotonic() - begun, 2)
        jsonl.append(out / FILE, [record])
        log.info("%s: %s %s %s", part, case.name, record["status"], record.get("reason") or record["values"])
        failed += record["status"] == "failed"
        if broken:
            log.error("%s: the device is unusable from here on, so the part ends", part)
            break
        _clear(context)
    return failed


def _outcome(case: Case, context: Context, ends: float) -> tuple[dict[str, Any], bool]:
    left = ends - time.monotonic()
    absent = machine.missing(case.needs)
    if absent:
        return {"status": "left out", "reason": f"{', '.join(absent)} is not installed here", "values": {}}, False
    if left < LEAST_S and not context.dry:
        return {"status": "left out", "reason": "the time given to the part was over", "values": {}}, False
    try:
        with _within(left):
            return {"status": "ok", "values": case.run(context)}, False
    except LeftOut as error:
        return {"status": "left out", "reason": str(error), "values": {}}, False
    except OutOfTime:
        return {"status": "left out", "reason": "the time given to the part ended during it", "values": {}}, False
    except Exception as error:
        log.error("%s", traceback.format_exc())
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
        kind = getattr(torch, "AcceleratorError", ())
        broken = isinstance(error, kind) and not isinstance(error, torch.OutOfMemoryError)
        return {"status": "failed", "reason": reason, "values": {}}, broken


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block after so many seconds."""

    def over(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _clear(context: Context) -> None:
    if context.cuda:
        gc.collect()
        torch.cuda.empty_cache()


def read(out: Path) -> list[dict[str, Any]]:
    """All records of a folder, oldest first."""
    return list(jsonl.read(out / FILE, appended=True)) if (out / FILE).exists() else []


def settled(record: dict[str, Any], about: dict[str, Any], dry: bool) -> bool:
    """Whether the record is a good one of this commit, size and device, so that it need not be measured again."""
    same = all(record["about"].get(name) == about.get(name) for name in ("commit", "device", "versions"))
    return record["status"] == "ok" and record["dry"] == dry and same and not about.get("changed")
