"""What the next run has to try again, although all outputs are there.

Snakemake runs a job again when one of its params has changed. So every rule that may fail alone has the param `again`:
the text that was noted when the job was last found wanting, or None. It is read while the jobs are planned, and noted
while one runs: whatever is noted in one run is a changed param in the next, which `-n` shows with its text. A job that
then ends well leaves the note as it is, and is up to date.

A note lives beside Snakemake's own memory of params, because one without the other would run good jobs again.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from retcap.jobs.failures.record import job_name

SHAPES_RESULTS = False  # see retcap.reruns.digest
FOLDER = Path(".snakemake/retcap-again")  # in the working directory
FAILED = "failed at "  # how the note of a failure begins
SHOWN = 120  # characters of a reason in a note, which `-n` prints


def place(results: str | Path, rule: str, wildcards: Mapping[str, str]) -> Path:
    """File for the note of one job. `results`: folder of the experiment."""
    path = FOLDER / results / job_name(rule, wildcards)
    return path.with_name(f"{path.name}.txt")


def value(results: str | Path, rule: str, wildcards: Mapping[str, str]) -> str | None:
    """The param: what was noted last, or None."""
    try:
        return place(results, rule, wildcards).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def note(path: Path, text: str) -> None:
    """Have the next run try the job again, unless it had the same text already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def failed(reason: str) -> str:
    """A text that no other failure has, so that a job is tried again as often as it fails."""
    return f"{FAILED}{datetime.now().isoformat(sep=' ', timespec='microseconds')}: {reason[:SHOWN]}"


def once(reason: str, same: str) -> str:
    """A text that another failure with the same `same` has too: a job is tried again until it fails in the same way."""
    return f"{reason} [{hashlib.sha256(same.encode()).hexdigest()[:12]}]"


def failures(results: str | Path) -> dict[str, str]:
    """All notes of failures of one experiment, by job."""
    folder = FOLDER / results
    texts = {
        path.relative_to(folder).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.txt"))
    }
    return {job: text for job, text in texts.items() if text.startswith(FAILED)}
