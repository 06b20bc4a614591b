"""Synthetic results of the retrieval study for the report tests."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from retcap.pictures import images
from retcap.pictures.pixels import Resize
from retcap.report.inputs import RetrievalInputs

LEVELS = {"random": 0.004, "zero-shot": 0.06, "untrained": 0.02, "trained": 1.0}  # share of the trained R@5
SETS = {"m2kr_oven": 0.551, "m2kr_evqa": 0.083, "m2kr_infoseek": 0.086, "m2kr_okvqa": 0.016}  # R@5 of "trained"
ROWS = {"m2kr_oven": 339_137, "m2kr_evqa": 167_369, "m2kr_infoseek": 676_441, "m2kr_okvqa": 8_253}  # of the pilot
KS = [1, 2, 3, 5, 10, 50, 100]
QUERIES, PASSAGES = 12, 20


MISSING = {
    "rows": 1234,
    "with_image": 1200,
    "missing": 37,
    "share": 37 / 1200,
    "reasons": {"image_broken": 6, "image_missing": 31},
    "dropped": 37,
    "kept": 1197,
}
MEASURED = {"k": 10, "build_s": 0.5, "search_s": 0.0625, "queries": 4321, "queries_per_s": 69136.0, "index_mb": 7.5}
INDEXES = [
    {"kind": "ivf_flat", "effort": 4, "options": "IVF15,Flat", "recall": 0.975, "corpus_size": 600} | MEASURED,
    {"kind": "ivf_pq", "options": "IVF15,PQ16x8np", "corpus_size": 600, "skipped": "it learns 256 codes"},
]


def retrieval(folder: Path, attack: str, draw: Callable[[int, int, int], Image.Image]) -> RetrievalInputs:
    """Four systems on four sets, training curves, example queries with pictures, `attack` in passages and answers."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(11)
    tables = {name: _tables(folder / name, name, attack) for name in ("m2kr_evqa", "m2kr_okvqa")}
    files = {f"q{i}.png": folder / f"q{i}.png" for i in range(5)}
    for number, path in enumerate(files.values()):
        draw(number, 320, 240).save(path)
    images.build(folder / "pack", files.items(), Resize("fit", 512, 512))
    parameters = {
        "TinyCLIP + fusion": {"vision": 61_410_000, "text": 53_970_000, "fusion": 28_800_000},
        "CLIP ViT-B/32 + fusion": {"vision": 87_850_000, "text": 63_430_000, "fusion": 28_800_000},
    }
    audit = {
        "dataset": "m2kr_evqa",
        "splits": {
            "train": {"queries": 900, "repeated_query_ids": 0},
            "test": {"queries": 120, "repeated_query_ids": 12},
        },
        "pairs": {
            "train+test": {"query_ids": {"count": 3}, "images": {"count": 8}, "golds": {"count": 71}},
            "valid+test": {"query_ids": {"count": 0}, "images": {"count": 0}, "golds": {"count": 72}},
        },
        "failures": [{"place": "train+test", "check": "query_ids", "count": 3, "reason": ""}],
        "known_leaks": [{"place": "train+test", "check": "images", "count": 8, "reason": f"as published {attack}"}],
    }
    sides = {side: MISSING | ({"left_empty": 1} if side == "passage" else {}) for side in ("query", "passage")}
    missing = {"policy": "drop", "max_share": 0.5, "splits": {"train": sides, "test": sides}}
    return RetrievalInputs(
        results=[write_json(folder / f"{s}-{d}.json", result(s, d)) for s in LEVELS for d in SETS],
        trained=["trained"],
        explanations={"trained": f"ReT-2 {attack}"},
        titles={"m2kr_oven": "OVEN", "m2kr_evqa": "E-VQA", "m2kr_infoseek": "InfoSeek", "m2kr_okvqa": "OKVQA"},
        curves={"trained": write_json(folder / "curves.json", _curves(rng))},
        splits={name: _splits(folder / f"{name}-data", rows, attack) for name, rows in ROWS.items()},
        weights=dict.fromkeys(SETS, 1.0),
        audits={"m2kr_evqa": write_json(folder / "audit.json", audit)},
        images={name: write_json(folder / f"{name}-images.json", missing | {"dataset": name}) for name in SETS},
        indexes={"m2kr_okvqa": write_json(folder / "indexes.json", INDEXES)},
        differences=write_json(folder / "differences.json", _differences()),
        parameters=write_json(folder / "parameters.json", parameters),
        queries={name: paths[0] for name, paths in tables.items()},
        passages={name: paths[1] for name, paths in tables.items()},
        hits={name: paths[2] for name, paths in tables.items()},
        image_packs={64: dict.fromkeys(SETS, folder / "pack")},
        show_published=True,
    )


def result(system: str, dataset: str) -> dict:
    """One result file: R and PR at seven K, MRR, floors, ceiling, slices."""
    level = SETS[dataset] * LEVELS[system]
    values = {"MRR@10": 0.7 * level}
    for k in KS:
        values[f"R@{k}"] = 1 - (1 - level) ** (math.log(k + 1) / math.log(6))
        values[f"PR@{k}"] = min(0.95, values[f"R@{k}"] + 0.12 + 0.02 * k**0.5)
    metrics = {
        name: {"value": value, "ci_low": max(0.0, value - 0.012), "ci_high": value + 0.012}
        for name, value in values.items()
    }
    gaps = {f"PR-R@{k}": {"value": values[f"PR@{k}"] - values[f"R@{k}"], "ci_low": 0.1, "ci_high": 0.3} for k in KS}
    slices = {kind: {"n": 300 + len(kind), "R@5": level, "PR@5": level + 0.1} for kind in ("string", "list", "numeric")}
    way = {"metrics": metrics, "n_pr_queries": 4600}
    stopped = {"stopped": "query row 7 (id 'q<7>'): one answer is {}; flmr cannot strip it and stops."}
    ret = {"metrics": {"R@5": {"value": 0.25, "ci_low": 0.2, "ci_high": 0.3}}, "n_pr_queries": 4708}
    return {
        "system": system,
        "dataset": dataset,
        "dialect": "strict",
        "dialects": {"strict": way, "ret": ret, "flmr": stopped},
        "n_queries": 4708,
        "n_pr_queries": 4600,
        "corpus_size": 98_276,
        "gold_missing": 4,
        "duplicates_collapsed": 51,
        "metrics": metrics,
        "gaps": gaps,
        "floors": {"R@5": 0.0001, "PR@5": 0.093},
        "pr_ceiling": 0.97,
        "pr_gold": 0.91,
        "slices": {"answer_kind": slices},
        "checkpoint": "e3b0c44298fc1c14",
        "revision": "main",
    }


def write_json(path: Path, content: object) -> Path:
    """Write JSON and give the path back."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_parquet(path: Path, table: pd.DataFrame) -> Path:
    """Write a parquet table and give the path back."""
    table.to_parquet(path)
    return path


def _differences() -> list[dict]:
    """Of the trained system and each other one; the interval against `zero-shot` includes zero on OKVQA."""
    records = []
    for other, level in LEVELS.items():
        for dataset, value in SETS.items():
            gain = value * (1 - level)
            spread = 2 * gain if (other, dataset) == ("zero-shot", "m2kr_okvqa") else gain / 2
            bounds = {"ci_low": gain - spread, "ci_high": gain + spread, "p": 0.0001, "p_holm": None}
            names = {"dataset": dataset, "first": "trained", "second": other, "metric": "R@5"}
            records += [names | {"n": 200, "clusters": 200, "difference": gain} | bounds] if other != "trained" else []
    return records


def _splits(folder: Path, rows: int, attack: str) -> Path:
    """Cards and quarantine of three splits; InfoSeek's validation rows are held out."""
    rejected = {"file": "train.jsonl", "line": 3, "reason": "broken_json", "detail": "cut off", "record": attack}
    for split, amount in (("train", rows), ("valid", 5000), ("test", 4708)):
        (folder / split).mkdir(parents=True)
        card = {"queries": {"rows": amount}, "rejected": {"rows": 1}, "warnings": [f"said {attack}"]}
        if "infoseek" in folder.name:
            card["held_out"] = {"by": "passage"}
        write_json(folder / split / "card.json", card)
        (folder / split / "quarantine.jsonl").write_text(json.dumps(rejected) + "\n", encoding="utf-8")
    return folder


def _curves(rng: np.random.Generator) -> dict:
    train = [
        {"step": step, "epoch": step / 1000, "loss": 4.8 * math.exp(-step / 4000) + 0.6 + 0.15 * float(noise)}
        for step, noise in zip(range(50, 20_001, 25), rng.standard_normal(799), strict=False)
    ]
    evaluations = []
    for step in range(1000, 20_001, 1000):
        scores = {name: value * (1 - math.exp(-step / 6000)) for name, value in SETS.items()}
        scores["macro"] = sum(scores.values()) / len(scores)
        recall = {f"eval_{name}_R@10": value for name, value in scores.items()}
        pseudo = {f"eval_{name}_PR@10": value + 0.15 for name, value in scores.items()}
        evaluations.append({"step": step, "epoch": step / 1000, **recall, **pseudo})
    best = {
        name: {"metric": f"eval_{name}_R@10", "value": 0.177 if name == "macro" else 0.5, "step": 20_000}
        for name in ("macro", *SETS)
    }
    return {"train": train, "eval": evaluations, "best": best, "seconds": 1830.0, "stopped": "max_steps"}


def _tables(folder: Path, dataset: str, attack: str) -> tuple[Path, Path, Path]:
    """Queries, passages and hits; the gold passage of odd queries is first, of even queries eleventh."""
    folder.mkdir()
    queries = [
        {
            "row": i,
            "query_id": f"q{i}",
            "dataset": dataset,
            "instruction": "Find the passage that answers the question",
            "question": f"Who built the tower number {i}?",
            "image": f"q{i % 5}.png",
            "answers": ["Gustave Eiffel", attack],
            "positives": [f"p{i}"],
        }
        for i in range(QUERIES)
    ]
    text = "The tower stands in the old town and was finished in 1889 after two years of work. " * 5
    passages = [
        {
            "row": i,
            "passage_id": f"p{i}",
            "text": None if i == 7 else f"{attack} {text}",
            "image": f"q{i % 5}.png" if i % 2 else None,
        }
        for i in range(PASSAGES)
    ]
    hits = []
    for i in range(QUERIES):
        order = [(i + step) % PASSAGES for step in range(11)]
        order = order if i % 2 else [*order[1:], i]
        hits += [
            {
                "query_row": i,
                "query_id": f"q{i}",
                "rank": rank,
                "passage_row": p,
                "passage_id": f"p{p}",
                "score": 1 / rank,
            }
            for rank, p in enumerate(order, start=1)
        ]
    names = {"queries": queries, "passages": passages, "hits": hits}
    written = [write_parquet(folder / f"{name}.parquet", pd.DataFrame(rows)) for name, rows in names.items()]
    return written[0], written[1], written[2]
