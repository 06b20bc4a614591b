"""A synthetic experiment for the report tests: result files in their real formats, with their awkward cases in them."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from report_fixture_retrieval import retrieval, write_json, write_parquet
from retcap.analysis import compare
from retcap.captioning.differences import differences, rank_groups
from retcap.pictures import images
from retcap.pictures.pixels import Resize
from retcap.report.inputs import CaptioningInputs, ReportInputs

ATTACK = "<script>alert(1)</script>"
FAILED = "instructblip-vicuna-7b"
MODELS = {
    "blip2-opt-2.7b": 0.055,
    "internvl2-2b": 0.150,
    "blip2-flan-t5-xl": 0.082,
    "qwen2.5-vl-3b": 0.171,
    "gemma-3-4b": 0.166,
    "llava-1.5-7b": 0.118,
    "llava-1.6-mistral-7b": 0.128,
    FAILED: None,
}
BASELINES = {"human": 0.168, "blind": 0.139}
SCALES = {"bleu4": 0.5, "meteor": 0.9, "rougeL": 1.9, "cider": 1.0}  # of each metric against CIDEr; no SPICE
QUERIES = ["location", "people", "building", "what they are doing"]
TRAINING = {"csv": "train.csv", "rows": 9459, "rows_used": 9001, "quarantined": {"malformed_row": 458}}
AGREEMENT = {
    "file": "ratings.json",
    "known_as": "Flickr8k-Expert",
    "published_source": "a table of theirs",
    "images": 1000,
    "pairs": 5664,
    "ratings": 16992,
    "metrics": [
        {"key": key, "tau_b": b, "tau_c": c, "published_tau_b": said, "published_tau_c": said, "reason": reason}
        for key, b, c, said, reason in [
            ("rougeL", 0.3214, 0.3231, 32.1, None),
            ("spice", None, None, 51.7, ATTACK),
            ("cider", 0.4360, 0.4389, None, None),
        ]
    ],
    "length": {"tau_b": -0.0981, "tau_c": -0.0950},
    "people": {"n": 16992, "tau_b": 0.657, "tau_c": 0.5537},
}
COMMIT = "3fee6aa5b1c2d3e4f5061728394a5b6c7d8e9f00"
REASON = "CUDA out of memory: tried 2.10 GiB with batch 1 (see logs/caption/instructblip-vicuna-7b.log)"


def everything(folder: Path, image_count: int = 40) -> ReportInputs:
    """A report with all its parts."""
    config = folder / "config.yaml"
    config.write_text(f"experiment: demo\nnote: '{ATTACK}'\n", encoding="utf-8")
    return ReportInputs(
        experiment="panorama-ablation",
        title="Vision-language experiments",
        created="2026-11-20T14:03:00+00:00",
        commit=COMMIT,
        dirty=True,
        studies={
            "retrieval": retrieval(folder / "retrieval", ATTACK, panorama),
            "captioning": captioning(folder / "captioning", image_count),
        },
        provenance=provenance(folder / "logs"),
        config=config,
    )


def captioning(folder: Path, image_count: int) -> CaptioningInputs:
    """Eight models (one failed), two baselines, pairs with 1 to 6 references, an attack in a caption."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    items = _items(folder, image_count, rng)
    records: dict[str, list] = {"models": [], "baselines": []}
    scores, captions, tables = {}, {}, {}
    difficulty = rng.gamma(2.0, 0.5, len(items))
    for name, level in {**MODELS, **BASELINES}.items():
        table = _held_out(_scores(items, level or 0.0, difficulty, rng), items, name)
        tables[name], record = table, _metrics(name, table) | ({"training": TRAINING} if name == "blind" else {})
        records["baselines" if name in BASELINES else "models"].append(record)
        scores[name] = write_parquet(folder / f"{name}_scores.parquet", table)
        captions[name] = write_parquet(folder / f"{name}.parquet", _captions(name, items, rng))
    coverage = {
        "csv": "test.csv",
        "images": image_count + 2,
        "images_lost": {"missing": 2},
        "pairs_kept": len(items),
        "single_reference_share": 0.05,
        "manifest_sha256": "9c" * 32,
    }
    found = differences(records, tables, "panorama_world", draws=1000, seed=0)
    compare.write(folder / "differences.json", found)
    compare.write_table(folder / "ranks.csv", rank_groups(records, tables, found, draws=200, seed=0))
    return CaptioningInputs(
        summary=write_json(folder / "all_models_summary.json", {"total": 8, "completed": 7, "failed": 1, **records}),
        differences=folder / "differences.json",
        ranks=folder / "ranks.csv",
        scores=scores,
        captions=captions,
        items=write_parquet(folder / "pairs.parquet", items),
        image_pack=folder / "pack",
        coverage=write_json(folder / "coverage.json", coverage),
        quarantine=_quarantine(folder / "quarantine.jsonl"),
        agreement=write_json(folder / "metric_agreement.json", AGREEMENT),
        max_new_tokens=64,
    )


def provenance(folder: Path) -> Path:
    """Records of eleven jobs in nested log folders, one of them failed, in two software environments."""
    captioners = [("caption", {"captioner": name}) for name in MODELS]
    jobs = [("prepare_captions", {}), *captioners, ("score_captions", {"system": "blind"}), ("report", {})]
    for number, (rule, wildcards) in enumerate(jobs):
        gpu = rule == "caption"
        record = {
            "rule": rule,
            "wildcards": wildcards,
            "started": f"2026-11-20T10:{number:02d}:00+0000",
            "seconds": 4.0 + 97.3 * number * gpu,
            "peak_memory_mb": 310.5 + 3000 * gpu,
            "gpu_peak_memory_mb": 15234.0 if gpu else None,
            "device": "NVIDIA H100" if gpu else "cpu (x86_64)",
            "devices": ["0"] if gpu else [],
            "seed": 0,
            "commit": COMMIT,
            "dirty": number == 2,
            "versions": {"python": "3.11.9", "pandas": "3.1.0"} | ({"torch": "2.15.0"} if gpu else {}),
            "code": "ab12cd34ef56ab12cd34",
            "params": {"prompt": ATTACK},
            "status": "failed" if wildcards.get("captioner") == FAILED else "completed",
        }
        path = folder / rule / f"{'-'.join(wildcards.values()) or rule}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, record)
    return folder


def panorama(number: int, width: int, height: int) -> Image.Image:
    """A picture with a sky, a ground and a few blocks, different for every number."""
    rng = np.random.default_rng(number)
    sky = Image.linear_gradient("L").resize((width, height))
    top = rng.integers(60, 200, 3).tolist()
    image = Image.merge("RGB", [sky.point(lambda v, c=c: int(c + (255 - c) * v / 300)) for c in top])
    draw, ground = ImageDraw.Draw(image), height * 2 // 3
    draw.rectangle([0, ground, width, height], fill=tuple(rng.integers(60, 140, 3).tolist()))
    for x in rng.integers(0, width, 7).tolist():
        tall, wide = int(rng.integers(height // 8, height // 2)), int(rng.integers(width // 30, width // 8))
        draw.rectangle([x, ground - tall, x + wide, ground], fill=tuple(rng.integers(40, 230, 3).tolist()))
    return image


def _items(folder: Path, image_count: int, rng: np.random.Generator) -> pd.DataFrame:
    files = {f"data/test/images/{i:03d}_o.jpg": folder / f"{i:03d}_o.jpg" for i in range(image_count)}
    for number, path in enumerate(files.values()):
        panorama(number, 1024, 512).save(path, quality=90)
    images.build(folder / "pack", files.items(), Resize("fit", 2048, 1024))
    keys = {row["path"]: row["key"] for row in images.read_paths(folder / "pack").to_pylist()}
    rows = []
    for name in files:
        for query in rng.choice(QUERIES, size=3, replace=False).tolist():
            amount = int(rng.choice([1, 4, 5, 6], p=[0.05, 0.2, 0.35, 0.4]))
            rows.append(
                {
                    "item_id": f"{len(rows):06x}",
                    "image": name,
                    "image_key": keys[name],
                    "query": query,
                    "references": [f"A view of the {query}, said {k} times, under a wide sky." for k in range(amount)],
                    "rows": [len(rows)],
                }
            )
    return pd.DataFrame(rows)


def _scores(items: pd.DataFrame, level: float, difficulty: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    cider = level * difficulty * rng.gamma(1.2, 1 / 1.2, len(items))
    columns = {name: np.clip(scale * cider, 0, 10) for name, scale in SCALES.items()}
    return pd.DataFrame({"item_id": items["item_id"], "image": items["image_key"], "status": "ok", **columns})


def _held_out(table: pd.DataFrame, items: pd.DataFrame, name: str) -> pd.DataFrame:
    """With values per draw of the held-out reference, lower than those against all; the human one has no others."""
    several = items["references"].map(len) > 1
    for key in SCALES:
        draws = [
            [0.8 * value, 0.9 * value] if known else None for value, known in zip(table[key], several, strict=True)
        ]
        table[f"{key}_held_out"] = pd.Series(draws, dtype=object)
    return table[several].drop(columns=list(SCALES)).reset_index(drop=True) if name == "human" else table


def _metrics(name: str, table: pd.DataFrame) -> dict:
    base = {
        "model_name": name,
        "model_id": f"org/{name}",
        "dtype": "bfloat16",
        "revision": "0123456789abcdef",
        "image_policy": "squash",
    }
    if name == FAILED:
        return base | {"status": "failed", "reason": REASON, "num_samples": 0, "metrics": dict.fromkeys(SCALES)}
    held = table[table["cider_held_out"].notna()]
    apart = {key: _detail(key, held[f"{key}_held_out"].map(np.mean)) for key in SCALES}
    details = apart if name == "human" else {key: _detail(key, table[key]) for key in SCALES}
    reason = "no JavaScript engine in Java 25"
    details["spice"] = {"value": None, "unit": "fraction", "signature": "spice|1.0", "n": len(table), "reason": reason}
    details["bleu4_coco"] = details["bleu4"] | {"signature": "bleu4_coco|tok:ptb"}
    values = {key: details[key]["value"] for key in (*SCALES, "spice")}
    lost = 3 if name == "gemma-3-4b" else 0
    rates = {
        "captions": 99,
        "captions_per_second": 0.2 * len(name),
        "tokens": 1980,
        "tokens_per_second": 4.0 * len(name),
    }
    cost = rates | {"seconds": 99.0, "peak_memory_mb": 3210.5, "gpu_peak_memory_mb": 15234.0}
    return base | {
        "cost": None if name in BASELINES else cost,
        "status": "completed",
        "reason": None,
        "num_samples": len(table),
        "references": "held out" if name == "human" else "all",
        "metrics": values,
        "details": details,
        "held_out": {
            "draws": 2,
            "num_samples": len(held),
            "metrics": {key: detail["value"] for key, detail in apart.items()},
            "details": apart,
        },
        "counts": {"ok": len(table) - lost, "empty": lost, "failed": 0, "cleaned_to_empty": 0},
        "raw_metrics": {key: None if value is None else 0.93 * value for key, value in values.items()},
    }


def _detail(key: str, values: pd.Series) -> dict:
    value, error = float(values.mean()), 2 * float(values.std()) / math.sqrt(len(values))
    bounds = {"ci_low": value - error, "ci_high": value + error}
    about = {"unit": "fraction", "metric": key, "n": len(values), "reason": None}
    return {"value": value, "signature": f"{key}|nrefs:var|tok:ptb|v:1.2"} | about | bounds


def _captions(name: str, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for number, query in enumerate(items["query"]):
        text = f"{name} sees the {query} beside a long wall and a clear blue sky"
        text = f"{ATTACK} a street" if name == "qwen2.5-vl-3b" else text
        empty = name == "gemma-3-4b" and number % 40 == 1
        rows.append(
            {
                "item_id": items["item_id"][number],
                "raw": "" if empty else f"ASSISTANT: {text}" if name == "llava-1.5-7b" else text,
                "cleaned": "" if empty else text,
                "status": "empty" if empty else "ok",
                "reason": None,
                "seconds": 0.21,
                "tokens": int(rng.integers(8, 65)),
                "prompt": f"USER: <image>\n{query} ASSISTANT:",
            }
        )
    return pd.DataFrame(rows)


def _quarantine(path: Path) -> Path:
    reasons = ["empty_annotation"] * 5 + ["missing_image"] * 2
    rejected = [
        {
            "file": "test.csv",
            "line": 17 + i,
            "reason": reason,
            "detail": "not usable",
            "record": f"a.jpg,trees\u2028,{ATTACK}",  # a line break, but not of the file
        }
        for i, reason in enumerate(reasons)
    ]
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in rejected), encoding="utf-8")
    return path
