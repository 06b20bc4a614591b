"""Scratch folders that outlive a killed job, so that training and captioning resume where they stopped.

Snakemake deletes the outputs of a failed job, and what lies in an output folder with them. A scratch folder is no
output: it is named after everything that decides the result (params with the code digest, contents of the inputs), so
a job that is started again with the same settings finds its own work, and one with other settings does not. A lasting
folder stays when its job has ended well; what lies in it has to say itself what it was made with.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WHOLE_BYTES = 1_000_000  # larger files count by size and mtime: hashing checkpoints would cost more than it saves


def folder(snakemake: Any) -> Path:
    """`results/<experiment>/.scratch/<rule>/<wildcards>-<hash>`; not created here."""
    params = {name: value for name, value in snakemake.params.items() if name != "again"}  # shapes no result
    facts = {"params": params, "inputs": [fingerprint(Path(path)) for path in snakemake.input]}
    name = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
    labels = [str(value) for value in snakemake.wildcards]
    return results(snakemake) / ".scratch" / snakemake.rule / "-".join([*labels, name])


def lasting(snakemake: Any, without: Iterable[str] = ()) -> Path:
    """`results/<experiment>/.scratch/<rule>/<wildcards>`; not created here. `without`: wildcards that do not count."""
    labels = [str(value) for name, value in snakemake.wildcards.items() if name not in without]
    return results(snakemake) / ".scratch" / snakemake.rule / "-".join(labels)


def results(snakemake: Any) -> Path:
    """Folder of the experiment that a job belongs to."""
    return next(parent.parent for parent in Path(snakemake.log[0]).parents if parent.name == "logs")


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Refuse a second run in the same folder. The kernel frees the lock when its process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RuntimeError(
                f"{folder}: another process {doing} here. Wait for it, or end it, then run again."
            ) from None
        yield


def fingerprint(path: Path) -> list[list[Any]]:
    """Name and content of a file, or of all files below a folder, in a fixed order."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return [[file.relative_to(path).as_posix(), _content(file)] for file in files]


def _content(file: Path) -> str:
    state = file.stat()
    if state.st_size > WHOLE_BYTES:
        return f"{state.st_size} {state.st_mtime_ns}"
    return hashlib.sha256(file.read_bytes()).hexdigest()
