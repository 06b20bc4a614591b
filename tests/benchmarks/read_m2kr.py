"""How fast, and in how much memory, training files of M2KR become parquet, beside json + pandas.

    python tests/benchmarks/read_m2kr.py --rows 300000 1200000 --baseline-rows 100000

Makes a file in the proportions of the four training sets (seed experiment: OVEN 28.5 %, E-VQA 14.0 %, InfoSeek 56.8 %,
OKVQA 0.7 %) with texts of 600 characters and as many distinct passages as published, then reads it in a fresh process
per method. Prints rows per CPU second and peak memory (RSS), with an empty process (imports only) for comparison.

On one core of a 2-core cloud machine, shared with other work:

    method              rows  seconds  CPU s rows/CPU s MB/CPU s  peak MB
    imports only           0      0.2    0.2          0        0      113
    retcap           100,000      2.7    2.7     36,769       38      239
    json + pandas    100,000      3.0    2.9     34,004       35      589
    retcap           300,000      8.7    8.6     34,888       36      240
    retcap         1,200,000     31.6   28.7     41,828       43      240
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from retcap.retrieval.m2kr.normalise import normalise

SHARES = {"oven": 0.285, "evqa": 0.140, "infoseek": 0.568, "okvqa": 0.007}
PASSAGES = {"oven": 10_000, "evqa": 50_205, "infoseek": 98_276, "okvqa": 114_516}
TEXT = (
    "a park in the north of old river town, a stone tree, first built by the small bird with large wings near the bay"
)
TEXT_CHARACTERS = 600  # mean of the published corpora is 593 to 1,294


def make_file(path: Path, rows: int, seed: int = 0) -> None:
    """Write `rows` lines with the irregularities of each set."""
    rng = np.random.default_rng(seed)
    text = " ".join(rng.choice(TEXT.split(), 200))
    kinds = rng.choice(list(SHARES), size=rows, p=list(SHARES.values()))
    draws = rng.random(rows)
    with path.open("w") as file:
        for number, (kind, draw) in enumerate(zip(kinds, draws, strict=True)):
            entity = int(draw * PASSAGES[kind])
            file.write(json.dumps(line(str(kind), number, entity, text)) + "\n")


def line(kind: str, number: int, entity: int, text: str) -> dict:
    """One training record."""
    start = entity % 100
    body = f"title: thing {entity} content: {text[start : start + TEXT_CHARACTERS]}"
    image = f"infoseek/wikipedia_images_full/Q{entity % 1000}/Q{entity}.jpg"
    record = {
        "data_id": f"{kind}_train_{number:08d}",
        "dataset_id": f"{kind}_train",
        "question": "what is this park called?",
        "instruction": "Using the provided image, obtain documents that address the subsequent question: ",
        "image_path": f"{kind}/images/{number:08d}.jpg",
        "passage_id": f"Q{entity}",
        "passage_text": body,
        "passage_image_path": image,
    }
    if kind == "oven":
        return record | {"answer": "Nationals Park"}
    if kind == "evqa":
        ids = {"passage_id": f"WikiWeb_thing {entity}_1"}
        return record | ids | {"answer": ["5 to 15 metres", "5 to 15 metres ", "5 to 15 metres"]}
    if kind == "infoseek":
        null = {"passage_text": None, "passage_image_path": None} if number % 20 == 0 else {}
        return record | null | {"answer": ["8 km", {"wikidata": 8.0, "range": [7.6, 8.4]}]}
    several = {"passage_id": [f"{entity:08d}"], "passage_text": [body], "passage_image_path": [image]}
    return record | several | {"data_id": number, "answer": ["teddy bear", "stuffed animal", "bear"]}


def read_with_retcap(path: Path, out: Path) -> int:
    """The project's way: both tables, quarantine and card."""
    card = normalise("m2kr_all", "train", queries=[path], roots="/images", out=out)
    return card["queries"]["rows"]


def read_with_pandas(path: Path, out: Path) -> int:
    """The usual way: every line through json, one data frame, one parquet file (mixed columns as JSON text)."""
    import pandas as pd

    with path.open() as file:
        frame = pd.DataFrame([json.loads(row) for row in file])
    for column in ("data_id", "answer", "passage_id", "passage_text", "passage_image_path"):
        frame[column] = frame[column].map(json.dumps)
    frame.to_parquet(out / "pandas.parquet")
    return len(frame)


def read_nothing(path: Path, out: Path) -> int:
    """Imports only."""
    import pandas

    return int(pandas is None)


METHODS = {"imports only": read_nothing, "retcap": read_with_retcap, "json + pandas": read_with_pandas}


def measure(method: str, path: Path) -> tuple[int, float, float, float]:
    """Run one method in this process: rows, wall seconds, CPU seconds, peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        started, busy = time.perf_counter(), time.process_time()
        rows = METHODS[method](path, Path(folder))
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
    return rows, seconds, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Make the files, run every method, print the table."""
    parser = argparse.ArgumentParser(description="Time normalise beside json + pandas.")
    parser.add_argument("--rows", type=int, nargs="+", default=[300_000, 1_200_000], help="memory must not follow them")
    parser.add_argument("--baseline-rows", type=int, default=100_000, help="json + pandas holds all rows in memory")
    arguments = parser.parse_args()
    runs = [("imports only", 1), ("retcap", arguments.baseline_rows), ("json + pandas", arguments.baseline_rows)]
    runs += [("retcap", rows) for rows in arguments.rows]
    print(f"{'method':<14} {'rows':>9} {'seconds':>8} {'CPU s':>6} {'rows/CPU s':>10} {'MB/CPU s':>8} {'peak MB':>8}")
    for method, rows in runs:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "train.jsonl"
            make_file(path, rows)
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh_process:
                read, seconds, busy, peak = fresh_process.submit(measure, method, path).result()
            speed = f"{read / busy:>10,.0f} {path.stat().st_size / busy / 1e6:>8.0f}"
            print(f"{method:<14} {read:>9,} {seconds:>8.1f} {busy:>6.1f} {speed} {peak:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
