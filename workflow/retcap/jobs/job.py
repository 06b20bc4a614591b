"""How every script starts and ends: log file, threads, GPU lease, staged outputs, provenance.

    with job.start(snakemake) as run:
        result = compute(snakemake.input.pairs, progress=run.progress)
        files.write(result, run.out.captions)

Outputs are staged: the script writes to `run.out.<name>`, a hidden neighbour of the declared output, and all of them
are renamed into place when the block ends without an error. A job that fails or is killed leaves no output behind.

A job that may fail alone (`retcap.jobs.failures`) leaves a failure record in place of every output instead, and ends
with exit status 0, so that the jobs of other systems and the report still come. One whose input is such a record is not
run: it passes the failure on. A script that can do without an input says so, and finds the record in `run.failed`:

    with job.start(snakemake, accept_failed=["frequencies"]) as run:
        if snakemake.input.frequencies in run.failed: ...
"""

import logging
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from retcap.jobs import devices, energy, provenance, scratch
from retcap.jobs.failures import record as failure_record
from retcap.jobs.failures.guard import Guard, NotRun
from retcap.jobs.failures.record import Failure
from retcap.terminal import messages
from retcap.terminal.progress import progress

log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.reruns.digest
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class Run:
    """What a script gets: staged outputs, leased devices, threads, a progress bar, and which inputs are missing."""

    out: SimpleNamespace
    devices: list[str]
    threads: int
    progress: Callable[..., Iterable]
    snakemake: Any
    failed: dict[str, Failure]  # by path: inputs whose jobs failed, of those that the script accepts
    guard: Guard | None
    energy_before: list[float] | None = None

    @cached_property
    def scratch(self) -> Path:
        """Folder that outlives a killed job, named after its params and inputs; see `retcap.jobs.scratch`."""
        return scratch.folder(self.snakemake)

    def discard_scratch(self) -> None:
        """Remove the scratch folder: all that was in it is in the outputs now."""
        _remove(self.scratch)

    def try_again(
        self, reason: str, *, same: str | None = None, job: tuple[str, Mapping[str, str]] | None = None
    ) -> bool:
        """Have the next run do this job again, although its outputs are good as far as they go.

        `same`: what went wrong, in full. When the second try ends in the same way, there is no third one. `job`: rule
        and wildcards of another job whose outputs were found wanting, to be done again instead. Gives whether the next
        run will try.
        """
        assert self.guard is not None, "a rule that is tried again stands in `alone` of its study's plan"
        return self.guard.try_again(reason, same, job)

    @property
    def energy_j(self) -> float | None:
        """Joules that the leased GPUs have taken since the job began; None where their driver does not tell."""
        return energy.since(self.energy_before, self.devices)

    @property
    def device(self) -> str:
        """torch's name for the device to use: "cuda" when GPUs are leased, else "cpu"."""
        return "cuda" if self.devices else "cpu"


@contextmanager
def start(snakemake: Any, accept_failed: Sequence[str] | bool = ()) -> Iterator[Run]:
    """Run a script's body with everything above around it. Errors go to the log in full, to the terminal in short.

    `accept_failed`: names of the inputs that the script can do without; True: all of them.
    """
    log_file = Path(snakemake.log[0])
    _open_log(log_file, fresh=snakemake.resources.get("attempt", 1) == 1)  # what a killed attempt said stays
    messages.begin(log_file)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that `finally` blocks run
    _set_environment(snakemake.threads)
    record = provenance.begin(snakemake)
    staged = {name: _staging_path(Path(path)) for name, path in snakemake.output.items()}
    assert len(staged) == len(snakemake.output), "every output of a rule must be named"
    guard = Guard.of(snakemake)
    try:
        failed = _failed_inputs(snakemake, accept_failed)
        if guard:
            guard.begin()
        with devices.lease(int(snakemake.resources.get("gpu", 0))) as leased:
            record["devices"] = leased
            record["energy_before"] = energy.counters(leased)
            log.info("start %s", provenance.describe(record))
            given = SimpleNamespace(**staged), leased, snakemake.threads, progress, snakemake, failed, guard
            yield Run(*given, energy_before=record["energy_before"])
            _publish(snakemake, staged)
        if guard:
            guard.end()
        provenance.end(record, log_file, "completed")
    except BaseException as error:
        provenance.end(record, log_file, "not run" if isinstance(error, NotRun) else "failed")
        for path in staged.values():
            _remove(path)
        log.error("%s", error if isinstance(error, NotRun) else f"failed\n{traceback.format_exc()}")
        if not isinstance(error, Exception):
            if guard:
                guard.terminated()
            raise
        remedy = guard.fail(error, staged).remedy if guard else ""
        if guard:
            _publish(snakemake, staged)
        if guard and isinstance(error, NotRun):  # what is passed on has been said already
            messages.tell("skipped", "")
        else:
            _say(snakemake, error, remedy, alone=guard is not None)
        raise SystemExit(0 if guard else 1) from None


def _set_environment(threads: int) -> None:
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads sleep: two busy jobs on two cores ran 7x slower
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _failed_inputs(snakemake: Any, accept_failed: Sequence[str] | bool) -> dict[str, Failure]:
    """Records among the inputs. Raise NotRun if there is one that the script does not accept."""
    failed = failure_record.among(snakemake.input)
    if not failed or accept_failed is True:
        return failed
    named = [getattr(snakemake.input, name) for name in accept_failed or ()]
    accepted = {path for paths in named for path in ([paths] if isinstance(paths, str) else paths)}
    if refused := [failure for path, failure in failed.items() if path not in accepted]:
        raise NotRun(refused)
    return failed


def _say(snakemake: Any, error: Exception, remedy: str, alone: bool) -> None:
    lines = [f"Rule {snakemake.rule} failed: {error}", *([f"  {remedy}"] if remedy else [])]
    lines.append(f"  {type(error).__name__}; details: {snakemake.log[0]}")
    if alone:
        lines.append("  It fails alone: the jobs of other systems go on, and the next run tries this one again.")
    messages.tell("failure" if alone else "error", "\n".join(lines))


def _open_log(path: Path, fresh: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    if fresh:
        path.write_bytes(b"")
    file = logging.FileHandler(path, mode="a", encoding="utf-8")  # what libraries print is appended between its lines
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    terminal = messages.Warnings()
    terminal.addFilter(lambda entry: entry.name != __name__)  # its errors are told in short form instead
    root.handlers = [file, terminal]
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(file)
    logging.getLogger("py.warnings").propagate = False  # library warnings: to the log only


def _staging_path(output: Path) -> Path:
    output.parent.mkdir(parents=True, exist_ok=True)
    staged = output.with_name(
        f".{output.stem}.partial{output.suffix}"
    )  # keeps the suffix: writers choose formats by it
    _remove(staged)
    return staged


def _publish(snakemake: Any, staged: dict[str, Path]) -> None:
    missing = [name for name, path in staged.items() if not path.exists()]
    if missing:
        raise RuntimeError(f"{snakemake.scriptdir}: rule {snakemake.rule} did not write {', '.join(missing)}.")
    for name, path in staged.items():
        target = Path(snakemake.output[name] if isinstance(name, int) else getattr(snakemake.output, name))
        _remove(target)
        os.replace(path, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
