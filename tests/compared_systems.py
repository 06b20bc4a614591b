"""Systems of both studies with fixed scores, for tests of their differences."""

import numpy as np
import pandas as pd
import pyarrow as pa

RETRIEVAL = {"a": 0.7, "b": 0.5, "blind": 0.2}  # share of hits
CAPTIONING = {"low": 2, "high": 5, "blind": 3, "human": 6}  # the higher, the better


def hits() -> dict[str, pa.Table]:
    """Per-query tables of two trained systems and a baseline: 40 queries of 20 pictures, every fifth without answer."""
    rng = np.random.default_rng(20)
    ids = [str(row) for row in range(40)]
    about = {"query_row": range(40), "query_id": ids, "cluster": [str(row // 2) for row in range(40)]}
    tables = {}
    for name, share in RETRIEVAL.items():
        found = (rng.random(40) < share).astype(float)
        pseudo = [None if row % 5 == 0 else float(hit) for row, hit in enumerate(found)]
        tables[name] = pa.table(about | {"R@5": found, "PR@5": pa.array(pseudo, pa.float64())})
    return tables


def captions() -> tuple[dict[str, dict], dict[str, pd.DataFrame]]:
    """Metrics entries and item tables of two models and two baselines: 30 pairs of 10 images, 5 with one reference.

    CIDEr has values per item, BLEU-4 sums. `blind` has no caption for the first four pairs.
    """
    rng = np.random.default_rng(21)
    number = np.arange(30)
    several = number % 6 > 0
    tables = {}
    for name, level in CAPTIONING.items():
        values = rng.integers(0, 2 + level, 30) / 4
        matches = np.sort(rng.integers(0, 1 + level, (30, 4)))[:, ::-1]
        sums = np.hstack([np.full((30, 2), 10), matches, np.tile([9, 8, 7, 6], (30, 1))]).astype(float)
        held = [[value / 2, value / 4] if known else None for value, known in zip(values, several, strict=True)]
        table = pd.DataFrame({"item_id": [f"{n:02d}" for n in number], "image": [f"{n // 3}.jpg" for n in number]})
        table = table.assign(status="ok", cider=values, bleu4_statistics=list(sums), cider_held_out=held)
        kept = {"human": several, "blind": number >= 4}.get(name, number >= 0)
        tables[name] = table[kept].drop(columns=["cider", "bleu4_statistics"] if name == "human" else [])
    return {name: _entry(name, table) for name, table in tables.items()}, tables


def _entry(name: str, table: pd.DataFrame) -> dict:
    held_out = float(np.mean(table["cider_held_out"].dropna().tolist()))
    beside = {"metrics": {"cider": held_out}, "details": {"cider": {"value": held_out, "metric": "cider"}}}
    entry = {"model_name": name, "status": "completed", "held_out": beside | {"draws": 2, "num_samples": 25}}
    if name == "human":
        return entry | {"references": "held out"} | beside
    metrics = {"cider": float(table["cider"].mean()), "bleu4": 0.5}
    plugins = {"cider": "cider", "bleu4": "bleu"}
    details = {key: {"value": value, "metric": plugins[key]} for key, value in metrics.items()}
    return entry | {"references": "all", "metrics": metrics, "details": details}
