"""The last lines of a run: the tables of its studies, the records set aside, the report. All read from result files.

The Snakefile says them through Snakemake's logger, so every logger plugin and the log file get them.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from retcap import plugins
from retcap.captioning import banner as captioning
from retcap.retrieval import banner as retrieval
from retcap.retrieval.trainings import trainings

SNAKEMAKE = logging.getLogger("snakemake.logging")
STARTED = time.time()  # this is imported as the Snakefile is read


def announce(results: Path) -> None:
    """Say where the results will be: which experiment this is."""
    SNAKEMAKE.info(f"Results: {results}", extra={"retcap_results": str(results)})


def say(config: Mapping[str, Any], generated: bool = False) -> None:
    """Say the last lines. An error in them must not fail a run whose results are there.

    `generated`: the captions are the pipeline's own, those of the baseline `human` too.
    """
    try:
        text = block(Path("results") / config["experiment"], config, generated)
    except (OSError, ValueError, KeyError) as error:
        text = f"The tables cannot be shown ({type(error).__name__}: {error}); the report has them."
    if text:
        SNAKEMAKE.info(text, extra={"retcap_closing": True})


def block(results: Path, config: Mapping[str, Any], generated: bool = False, started: float = STARTED) -> str:
    """Study tables, records set aside, the report; what this run did not make is left out, or said to be old."""
    report = results / "report.html"
    since = 0.0 if _is_new(report, started) else started  # a new report shows all studies
    parts = list(_studies(results, config, generated, since))
    if _is_new(report, started):
        parts.append(f"Report: {report}")
    elif report.is_file():
        written = time.strftime("%Y-%m-%d %H:%M", time.localtime(report.stat().st_mtime))
        parts.append(f"The report is of {written}; this run has not written it anew: {report}")
    return "\n\n".join(parts)


def _studies(results: Path, config: Mapping[str, Any], generated: bool, since: float) -> Iterator[str]:
    aside: dict[str, list[Path]] = {}
    table, summary = results / "retrieval/results.csv", results / "captioning/all_models_summary.json"
    if "retrieval" in config["studies"] and _is_new(table, since):
        own, seeds = config["retrieval"], results / "retrieval/trainings.csv"
        made = trainings(own["retrievers"], own["training"]["seeds"], config["seed"])
        yield "\n".join(retrieval.banner(table, list(made), seeds if seeds.is_file() else None))
        for name in config["retrieval"]["datasets"]:
            title = plugins.load("datasets", name).CARD.title
            aside[title] = sorted((results / "retrieval/normalised" / name).glob("*/quarantine.jsonl"))
    if "captioning" in config["studies"] and _is_new(summary, since):
        yield "\n".join(captioning.banner(json.loads(summary.read_text(encoding="utf-8")), generated))
        aside["captions"] = [results / "captioning/quarantine.jsonl"]
        for name in config["captioning"]["predictions"]:
            aside[f"captions of {name}"] = [results / f"captioning/captions/{name}_quarantine.jsonl"]
        aside["training captions"] = [results / "captioning/training/quarantine.jsonl"]
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
