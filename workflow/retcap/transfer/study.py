"""One scoring job: an encoder on a set, from its features to a record and the places behind it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retcap.features import frozen
from retcap.transfer import results, scoring
from retcap.transfer.scoring import TEST, Settings

COPIED = ("encoder", "source", "revision", "side_px", "compute", "device", "parameters", "gflops", "images_per_second")


def score(
    folder: str | Path, shifts: Mapping[str, str | Path], settings: Settings, trained_on: str | Path | None = None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The record of one encoder on one set, and the places behind it. ValueError where nothing can be scored.

    `trained_on`: hashes of the pictures behind the encoder, as `retcap.features.trained_on` writes them.
    """
    hashes = None if trained_on is None else np.load(trained_on)
    base = frozen.read(Path(folder))
    found, about = scoring.classifiers(base, settings) if base.about["classes"] else ([], {})
    where = scoring.evaluations(base, {name: frozen.read(Path(path)) for name, path in shifts.items()}) if found else []
    places = scoring.table(found, where) if where else pd.DataFrame(columns=list(results.TABLE))
    if "few_shot" in about:
        about["few_shot"]["draws"] = settings.seeds
    own = about | {"classes": len(base.about["classes"]), "draws": settings.seeds}
    judged = results.judge(places, own, settings.draws, settings.seed) if where else {"evaluations": {}}
    retrieved = scoring.retrieval(base, settings.recall_k, settings.draws, settings.seed)
    if not where and retrieved is None and base.prompts is not None:
        raise ValueError(f"{folder}: nothing to score: no labelled test picture, and no captions.")
    record = {
        "classes": base.about["classes"],
        "templates": base.about["templates"],
        "metric": base.about["metric"],
        "warnings": base.about["warnings"],
        "pictures": base.about["pictures"],
        "rejected": base.about["rejected"],
        "cost": {name: base.about.get(name) for name in COPIED},
        "probe": about.get("probe"),
        "few_shot_setting": about.get("few_shot"),
        **judged,
        "retrieval": retrieved,
        "overlap": scoring.overlaps(base, places, hashes, settings) if TEST in set(places["evaluation"]) else None,
    }
    return record, places


def write(folder: Path, name: str, record: Mapping[str, Any], places: pd.DataFrame) -> None:
    """Both, as <name>.json and <name>.parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    places.to_parquet(folder / f"{name}.parquet")
