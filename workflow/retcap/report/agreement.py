"""How far the metrics agree with people, as a table, best first; people themselves and the length of captions below."""

from pathlib import Path
from typing import Any

from retcap.report import wording
from retcap.report.inputs import read_json
from retcap.report.scores import Notes, title

TAUS = ("tau_b", "tau_c")
PUBLISHED = ("published_tau_b", "published_tau_c")


def table(path: Path | None, failed: str | None = None) -> dict[str, Any] | None:
    """Rows in percent; None where no judgements were named. `failed`: why the comparison did not come."""
    if failed is not None:
        return {"failed": failed}
    if path is None:
        return None
    found, notes = read_json(path), Notes()
    best_first = sorted(found["metrics"], key=lambda row: -(row["tau_c"] if row["tau_c"] is not None else -2))
    rows = []
    for row in best_first:
        name = title(row["key"])
        mark = notes.mark(f"{name}: {row['reason']}") if row["tau_c"] is None else ""
        cells = [_percent(row[kind]) for kind in TAUS]
        rows.append({"name": name, "cells": cells, "note": mark, "published": [_said(row[kind]) for kind in PUBLISHED]})
    people = found["people"]
    return {
        "failed": None,
        "of": found["known_as"] or found["file"],
        "file": found["file"],
        "n": {name: found[name] for name in ("images", "pairs", "ratings")},
        "rows": rows,
        "people": [_percent(people[kind]) for kind in TAUS] if people["n"] else None,
        "length": [_percent(found["length"][kind]) for kind in TAUS],
        "source": found["published_source"],
        "notes": notes.lines(),
    }


def _percent(value: float | None) -> str:
    return wording.NOTHING if value is None else wording.number(100 * value, 1)


def _said(value: float | None) -> str:
    return wording.NOTHING if value is None else wording.number(value, 1)
