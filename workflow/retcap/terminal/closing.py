"""The last lines of a run: the tables of its studies, the records set aside, the report. All read from result files.

The Snakefile says them through Snakemake's logger, so every logger plugin and the log file get them.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from retcap.plan import Plan, StudyPlan

SNAKEMAKE = logging.getLogger("snakemake.logging")
STARTED = time.time()  # this is imported as the Snakefile is read


def announce(results: Path) -> None:
    """Say where the results will be: which experiment this is."""
    SNAKEMAKE.info(f"Results: {results}", extra={"retcap_results": str(results)})


def say(plan: Plan, plans: Iterable[StudyPlan]) -> None:
    """Say the last lines. An error in them must not fail a run whose results are there. `plans`: studies that run."""
    try:
        text = block(Path(plan.results), plans)
    except (OSError, ValueError, KeyError) as error:
        text = f"The tables cannot be shown ({type(error).__name__}: {error}); the report has them."
    if text:
        SNAKEMAKE.info(text, extra={"retcap_closing": True})


def block(results: Path, plans: Iterable[StudyPlan], started: float | None = None) -> str:
    """Study tables, records set aside, the report; what this run did not make is left out, or said to be old."""
    started = STARTED if started is None else started
    report = results / "report.html"
    since = 0.0 if _is_new(report, started) else started  # a new report shows all studies
    parts = list(_studies(plans, since))
    if _is_new(report, started):
        parts.append(f"Report: {report}")
    elif report.is_file():
        written = time.strftime("%Y-%m-%d %H:%M", time.localtime(report.stat().st_mtime))
        parts.append(f"The report is of {written}; this run has not written it anew: {report}")
    return "\n\n".join(parts)


def _studies(plans: Iterable[StudyPlan], since: float) -> Iterator[str]:
    aside: dict[str, list[Path]] = {}
    for own in plans:
        table = own.closing_table()
        if table is not None and _is_new(table, since):
            yield "\n".join(own.closing_lines())
            for name, paths in own.set_aside().items():
                aside.setdefault(name, []).extend(paths)
    if lines := list(_set_aside(aside)):
        yield "\n".join(["Records set aside", *lines])


def _set_aside(files: Mapping[str, list[Path]]) -> Iterator[str]:
    """One line per source that has records in quarantine."""
    for name, paths in files.items():
        counts = {path: path.read_bytes().count(b"\n") for path in paths if path.is_file()}
        filled = [str(path) for path, count in counts.items() if count]
        if filled:
            yield f"{sum(counts.values())} of {name}: {', '.join(filled)}"


def _is_new(path: Path, started: float) -> bool:
    return path.is_file() and path.stat().st_mtime >= started
