"""The grid of the study: which cells there are, what they are called, and which job makes which.

A cell is one training: mapper, tuning, prefix length, seed. A run is a cell and a way of decoding. Both are named by a
hash of all that decides them, so that the same cell is never made twice, whatever else the configuration holds.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

ID_DIGITS = 8
JOIN = "-"  # between the ids in the name of a job's folder
COLUMNS = ("run", "cell", "mapper", "tuning", "prefix_length", "decoding", "seed")


class Cell(NamedTuple):
    """One training. `settings`: all that decides its weights, as JSON values."""

    id: str
    mapper: str
    tuning: str
    prefix_length: int
    seed: int
    settings: Mapping[str, Any]

    def said(self) -> str:
        """The cell in words."""
        return f"{self.mapper} {self.tuning} k={self.prefix_length} seed {self.seed}"


class Run(NamedTuple):
    """A cell and a way of decoding. `settings`: those of the decoding alone."""

    id: str
    cell: Cell
    decoding: str
    settings: Mapping[str, Any]

    def said(self) -> str:
        """The run in words."""
        return f"{self.cell.said()} {self.decoding}"

    def row(self) -> dict[str, Any]:
        """A row of `runs.csv`."""
        own = self.cell
        values = (self.id, own.id, own.mapper, own.tuning, own.prefix_length, self.decoding, own.seed)
        return dict(zip(COLUMNS, values, strict=True))


def cells(own: Mapping[str, Any], seen: Mapping[str, Any]) -> list[Cell]:
    """All trainings of a section of the configuration, in its order, seeds inside. `seen`: what shapes the vectors."""
    found = []
    for mapper, tuning, length, seed in product(own["mappers"], own["tunings"], own["prefix_lengths"], own["seeds"]):
        settings = _cell(own, mapper, tuning, length, seed)
        place = {name: own[name] for name in ("language_model", "language_model_revision", "vector_length", "training")}
        found.append(Cell(named(settings, place, seen), mapper, tuning, length, seed, settings))
    return _distinct(found)


def runs(own: Mapping[str, Any], trained: Sequence[Cell]) -> list[Run]:
    """Every cell with every way of decoding."""
    found = []
    for cell in trained:
        for kind in own["decodings"]:
            settings = _decoding(own["decoding"], kind, cell.seed)
            found.append(Run(named(cell.id, kind, settings), cell, kind, settings))
    return _distinct(found)


def named(*facts: Any) -> str:
    """The id of something: hex digits of a hash.

    >>> named({"a": 1, "b": 2}) == named({"b": 2, "a": 1}), len(named("x"))
    (True, 8)
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]


def jobs(groups: Sequence[Sequence[str]], there: Iterable[str], size: int) -> list[list[str]]:
    """Ids of every job. A job that is there keeps its ids; the others are shared out, `size` to a job, group by group.

    `there`: names of folders. So a further value of the configuration makes jobs for its own cells alone, and however
    many of the jobs of a plan are done, the others stay as they were planned.

    >>> jobs([["a", "b", "c", "d"], ["e"]], ["b-x"], 2)
    [['b', 'x'], ['a', 'c'], ['d'], ['e']]
    """
    wanted = {one for group in groups for one in group}
    kept: list[list[str]] = []
    for name in sorted(there):
        ids = name.split(JOIN)
        taken = {one for job in kept for one in job}
        if set(ids) & wanted and not set(ids) & taken:
            kept.append(ids)
    done = {one for job in kept for one in job}
    left = [[one for one in group if one not in done] for group in groups]
    return kept + [group[start : start + size] for group in left for start in range(0, len(group), size)]


def known(path: str | Path, name: str, key: str) -> dict[str, dict[str, Any]]:
    """Rows of `runs.json` by the id under `key`, of those ids that the name of a job has."""
    rows = json.loads(Path(path).read_text(encoding="utf-8"))
    ids = name.split(JOIN)
    return {row[key]: row for row in rows if row[key] in ids}


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """`runs.csv`: one row per run, with what it is called and what tells it from the others."""
    text = io.StringIO()
    writer: Any = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cell(own: Mapping[str, Any], mapper: str, tuning: str, length: int, seed: int) -> dict[str, Any]:
    """Settings by the names of `captioner.build`; those that do not concern the cell are null."""
    transformer, lora = mapper == "transformer", tuning == "lora"
    return {
        "mapper": mapper,
        "tuning": tuning,
        "prefix_length": length,
        "seed": seed,
        "matched_to": own["matched_to"] if mapper == "mlp_matched" else None,
        "transformer_layers": own["transformer"]["layers"] if transformer else None,
        "transformer_heads": own["transformer"]["heads"] if transformer else None,
        "lora_rank": own["lora"]["rank"] if lora else None,
        "lora_alpha": own["lora"]["alpha"] if lora else None,
    }


def _decoding(own: Mapping[str, Any], kind: str, seed: int) -> dict[str, Any]:
    names = {"beam": ("beams",), "nucleus": ("top_p", "temperature"), "contrastive": ("alpha", "candidates")}
    settings = {name: own[name] for name in ("max_tokens", *names.get(kind, ()))}
    return settings | ({"seed": seed} if kind == "nucleus" else {})


def _distinct(found: list[Any]) -> list[Any]:
    seen: dict[str, Any] = {}
    for one in found:
        if one.id in seen:
            raise ValueError(f"{one.said()} and {seen[one.id].said()} have the same id {one.id}. Change any setting.")
        seen[one.id] = one
    return found
