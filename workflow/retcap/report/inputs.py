"""What a report is made from: paths to result files, and how they are read.

Every part is optional. A part that was not given is left out of the page; a path that was given but leads
nowhere is an error, because a report that silently misses a study reads like a study that was never planned.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.files import jsonl
from retcap.retrieval.trainings import Training


@dataclass(frozen=True)
class CaptioningInputs:
    """Files of the captioning study; the mappings go from system name (model or baseline) to file."""

    summary: Path  # all_models_summary.json
    scores: Mapping[str, Path] = field(default_factory=dict)  # <model>_scores.parquet: item_id, one column per metric
    captions: Mapping[str, Path] = field(default_factory=dict)  # captions.parquet after cleaning
    items: Path | None = None  # pairs.parquet
    differences: Path | None = None  # JSON: a list of `retcap.records.Difference`
    ranks: Path | None = None  # CSV: rows of `retcap.analysis.ranks.Rank`
    image_pack: Path | None = None  # folder of the image pack
    coverage: Path | None = None  # JSON: what of the data set was found on disk
    quarantine: Path | None = None  # quarantine.jsonl
    agreement: Path | None = None  # JSON of `retcap.captions.agreement`: the metrics beside people's ratings
    agreement_failed: str | None = None  # why there is none although it was asked for
    max_new_tokens: int | None = None  # token cap of the run, to count the captions that ran into it
    examples: int = 9  # panoramas shown, shared out over good, middle, bad and disagreement
    generated: bool = False  # the pipeline draws the panoramas and writes the captions itself


@dataclass(frozen=True)
class RetrievalInputs:
    """Files of the retrieval study; `results` may hold one result object or a list of them per file."""

    results: Sequence[Path]  # result JSON of every (system, data set)
    failed: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (system, data set) without a result -> reason
    trained: Sequence[str] = ()  # the trained systems; all others are baselines
    trainings: Mapping[str, Training] = field(default_factory=dict)  # trained system -> retriever and seed
    generated: Sequence[str] = ()  # data sets that the pipeline draws itself
    explanations: Mapping[str, str] = field(default_factory=dict)  # system -> what it is, in a few words
    titles: Mapping[str, str] = field(default_factory=dict)  # data set -> its name in the literature
    curves: Mapping[str, Path] = field(default_factory=dict)  # training run -> curves JSON
    splits: Mapping[str, Path] = field(default_factory=dict)  # data set -> folder with a folder per split
    weights: Mapping[str, float] = field(default_factory=dict)  # data set -> how often an epoch shows each row
    audits: Mapping[str, Path] = field(default_factory=dict)  # data set -> JSON of `retcap.retrieval.splits.audit`
    images: Mapping[str, Path] = field(default_factory=dict)  # data set -> JSON of `retcap.retrieval.splits.screening`
    indexes: Mapping[str, Path] = field(default_factory=dict)  # data set -> JSON of `retcap.search.approximate`
    indexes_failed: Mapping[str, str] = field(default_factory=dict)  # data set -> why they were not measured
    differences: Path | None = None  # JSON: a list of `retcap.records.Difference`
    parameters: Path | None = None  # JSON: {system: {part: number of parameters}}
    queries: Mapping[str, Path] = field(default_factory=dict)  # data set -> queries.parquet
    passages: Mapping[str, Path] = field(default_factory=dict)  # data set -> passages.parquet
    hits: Mapping[str, Path] = field(default_factory=dict)  # data set -> hits.parquet of the system shown in examples
    image_packs: Mapping[int, Mapping[str, Path]] = field(default_factory=dict)  # side in px -> data set -> pack
    sides: Mapping[str, int | None] = field(default_factory=dict)  # system -> side in px of the pictures it takes
    show_published: bool = False  # the literature's numbers make sense beside the real data sets only
    examples: int = 2  # example queries per data set


@dataclass(frozen=True)
class ReportInputs:
    """Everything one report is made from."""

    experiment: str
    title: str = "Experiment report"
    created: str | None = None  # ISO date and time; the caller decides, so that equal inputs give equal pages
    commit: str | None = None
    dirty: bool = False
    studies: Mapping[str, Any] = field(default_factory=dict)  # study -> what its section is built from, in this order
    provenance: Path | None = None  # folder with one JSON per job
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)  # wildcard -> values of this configuration
    config: Path | None = None  # the resolved config, YAML


def read_json(path: Path) -> Any:
    """The content of a JSON file, NaN and infinities turned into None (they have no place in a table)."""
    try:
        return json.loads(_text(path), parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}:{error.lineno}: not valid JSON ({error.msg}). Delete it and run the rule that writes it again."
        ) from error


def read_jsonl(path: Path) -> list[dict]:
    """The records of a JSON-lines file."""
    _exists(path)
    return list(jsonl.read(path))


def read_table(path: Path, needs: Sequence[str]) -> pd.DataFrame:
    """A parquet table as a frame; `needs` names the columns the report cannot do without."""
    _has_columns(path, needs)
    return pd.read_parquet(path)


def read_rows(
    path: Path, needs: Sequence[str], columns: list[str] | None = None, filters: list[tuple] | None = None
) -> list[dict[str, Any]]:
    """Rows of a parquet table as plain values; only the `columns` and the rows that pass all `filters` are read."""
    _has_columns(path, needs)
    return pq.read_table(path, columns=columns, filters=filters).to_pylist()


def read_arrow(path: Path, columns: list[str]) -> pa.Table:
    """Some columns of a parquet table, as they are."""
    _has_columns(path, columns)
    return pq.read_table(path, columns=columns)


def column(table: pd.DataFrame, name: str) -> dict[str, float | int]:
    """One column of an item table by item id; items without a value are left out."""
    values = zip(table["item_id"].tolist(), table[name].tolist(), strict=True)
    return {item: value for item, value in values if value is not None and value == value}


def require(record: Mapping[str, Any], key: str, path: Path) -> Any:
    """`record[key]`, or an error that names the file and the key."""
    if key not in record:
        raise ValueError(f"{path}: key {key!r} is missing; found {sorted(record)}.")
    return record[key]


def _has_columns(path: Path, needs: Sequence[str]) -> None:
    _exists(path)
    found = pq.read_schema(path).names
    missing = [name for name in needs if name not in found]
    if missing:
        raise ValueError(f"{path}: column {missing[0]!r} is missing; found {found}.")


def _text(path: Path) -> str:
    _exists(path)
    return Path(path).read_text(encoding="utf-8")


def _exists(path: Path) -> None:
    if not Path(path).exists():
        raise FileNotFoundError(
            f"No file at {path}. Run the rule that writes it, or leave this part out of the report."
        )
