"""How every script starts and ends: log file, threads, GPU lease, staged outputs, provenance.

    with job.start(snakemake) as run:
        result = compute(snakemake.input.pairs, progress=run.progress)
        files.write(result, run.out.captions)

Outputs are staged: the script writes to `run.out.<name>`, a hidden neighbour of the declared output, and all of them
are renamed into place when the block ends without an error. A job that fails or is killed leaves no output behind.
"""

import logging
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from retcap import devices, messages, provenance, scratch
from retcap.progress import progress

log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.digest
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class Run:
    """What a script gets: staged outputs, leased devices, threads and a progress bar."""

    out: SimpleNamespace
    devices: list[str]
    threads: int
    progress: Callable[..., Iterable]
    snakemake: Any

    @cached_property
    def scratch(self) -> Path:
        """Folder that outlives a killed job, named after its params and inputs; see `retcap.scratch`."""
        return scratch.folder(self.snakemake)

    def discard_scratch(self) -> None:
        """Remove the scratch folder: all that was in it is in the outputs now."""
        _remove(self.scratch)

    @property
    def device(self) -> str:
        """torch's name for the device to use: "cuda" when GPUs are leased, else "cpu"."""
        return "cuda" if self.devices else "cpu"


@contextmanager
def start(snakemake: Any) -> Iterator[Run]:
    """Run a script's body with everything above around it. Errors go to the log in full, to the terminal in short."""
    log_file = Path(snakemake.log[0])
    _open_log(log_file)
    messages.begin(log_file)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that `finally` blocks run
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(snakemake.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads sleep: two busy jobs on two cores ran 7x slower
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    record = provenance.begin(snakemake)
    staged = {name: _staging_path(Path(path)) for name, path in snakemake.output.items()}
    assert len(staged) == len(snakemake.output), "every output of a rule must be named"
    try:
        with devices.lease(int(snakemake.resources.get("gpu", 0))) as leased:
            record["devices"] = leased
            log.info("start %s", provenance.describe(record))
            yield Run(SimpleNamespace(**staged), leased, snakemake.threads, progress, snakemake)
            _publish(snakemake, staged)
        provenance.end(record, log_file, "completed")
    except BaseException as error:
        provenance.end(record, log_file, "failed")
        for path in staged.values():
            _remove(path)
        log.error("failed\n%s", traceback.format_exc())
        if not isinstance(error, Exception):
            raise
        lines = [f"Rule {snakemake.rule} failed: {error}", f"  {type(error).__name__}; details: {log_file}"]
        messages.tell("error", "\n".join(lines))
        raise SystemExit(1) from None


def _open_log(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
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
