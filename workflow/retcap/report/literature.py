"""What others published on the same data sets, and the pilot experiment's own figures put right."""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

from retcap.report import wording
from retcap.retrieval.m2kr import published


def rows(datasets: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    """Published rows with at least one of the metrics on one of our data sets, in percent, and their footnotes."""
    shown, notes = [], []
    for row in published.ROWS:
        cells = [wording.percent(row.value(name, metric)) for name in datasets for metric in metrics]
        note = f"Published: {row.source}. {row.caveat[0].upper()}{row.caveat[1:]}."
        if any(cell != wording.NOTHING for cell in cells):
            if note not in notes:
                notes.append(note)
            shown.append({"system": row.system, "cells": cells, "mark": ascii_lowercase[notes.index(note)]})
    return {"rows": shown, "notes": list(zip(ascii_lowercase, notes, strict=False))}


def pilot() -> dict[str, Any]:
    """The pilot's table with drops recomputed from it, towers as counted, and corrections of its text."""
    drops = [
        {
            "dataset": row.dataset,
            "scores": [wording.number(value, 2) for value in (row.baseline_r5_percent, row.tiny_r5_percent)],
            "drop": wording.signed(row.drop_percent, 1),
            "claimed": wording.signed(row.claimed_drop_percent, 1),
            "pseudo": wording.number(row.tiny_pr5_percent, 2),
            "gap": wording.signed(row.gap_points, 2),
        }
        for row in published.PILOT_TABLE
    ]
    towers = []
    for name, (vision, text) in published.TOWERS.items():
        counts = (vision.parameters, text.parameters, vision.parameters + text.parameters + published.TEMPERATURE)
        stated = published.STATED_MILLIONS[name]
        cells = [
            {"counted": wording.number(count / 1e6, 2), "stated": str(claim)}
            for count, claim in zip(counts, stated, strict=True)
        ]
        towers.append({"model": name, "cells": cells})
    return {"drops": drops, "towers": towers, "corrections": published.CORRECTIONS}
