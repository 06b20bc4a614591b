"""How long the leak audit takes, and in how much memory, at the size of the largest training set.

    python tests/benchmarks/audit_retrieval.py --rows 1200000 --bits 8

Perceptual hashes: random ones and, as in real collections, a fifth of them in clusters of look-alikes. Then the
whole audit of exact overlaps on generated tables of so many rows. Each part runs in a process of its own, for which CPU
seconds and peak memory are printed.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.pictures.perceptual import nearest
from retcap.retrieval.m2kr.tables import PASSAGES, QUERIES, ROW_GROUP
from retcap.retrieval.splits.audit import audit

TEST_ROWS = 5_000
PASSAGES_EACH = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_200_000)
    parser.add_argument("--bits", type=int, default=8)
    arguments = parser.parse_args()
    print(f"{'part':44s} {'CPU s':>7s} {'peak MB':>8s}")
    measure("nothing (imports only)", lambda: "")
    for rows, others in [(200_000, 200_000), (arguments.rows, TEST_ROWS)]:
        name = f"near pairs, {rows} x {others}, {arguments.bits} bits"
        measure(name, lambda rows=rows, others=others: near(rows, others, arguments.bits))
    with tempfile.TemporaryDirectory() as folder:
        splits = {"train": arguments.rows, "valid": TEST_ROWS, "test": TEST_ROWS}
        for number, (split, rows) in enumerate(splits.items()):
            tables(Path(folder) / split, rows, number)
        pack_paths(Path(folder), sum(splits.values()))
        measure(f"exact overlaps, {arguments.rows} training rows", lambda: whole(Path(folder), splits))


def measure(name: str, work: Callable[[], str]) -> None:
    """Run `work` in a process of its own and print what it took."""
    process = multiprocessing.get_context("fork").Process(target=_timed, args=(name, work))
    process.start()
    process.join()
    assert process.exitcode == 0, name


def _timed(name: str, work: Callable[[], str]) -> None:
    started = time.process_time()
    said = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:44s} {time.process_time() - started:7.1f} {peak:8.0f}  {said}", flush=True)


def near(rows: int, others: int, bits: int) -> str:
    """Near duplicates of `others` hashes among `rows`."""
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 2**64, count, dtype=np.uint64) for count in (rows, others))
    for hashes in (first, second):
        alike = rng.integers(0, len(hashes), len(hashes) // 5)
        hashes[alike] = first[alike % 100] ^ (np.uint64(1) << rng.integers(0, 64, len(alike), dtype=np.uint64))
    return f"{(nearest(first, second, bits=bits) >= 0).sum()} found"


def tables(folder: Path, rows: int, seed: int) -> None:
    """A normalised split with one picture per query."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    golds = rng.integers(0, PASSAGES_EACH, rows)
    with pq.ParquetWriter(folder / "queries.parquet", QUERIES, compression="zstd") as writer:
        for start in range(0, rows, ROW_GROUP):
            here = range(start, min(start + ROW_GROUP, rows))
            columns = {name: ["x"] * len(here) for name in QUERIES.names}
            columns |= {
                "row": list(here),
                "query_id": [f"infoseek_train_{seed}_{row:08d}" for row in here],
                "question": [f"what is the purpose of object {row % 997}?" for row in here],
                "image": [image(seed, row) for row in here],
                "answers": [["x"]] * len(here),
                "numeric": [[]] * len(here),
                "positives": [[f"Q{golds[row]}"] for row in here],
            }
            writer.write_table(pa.table({name: columns[name] for name in QUERIES.names}, schema=QUERIES))
    names = list(range(PASSAGES_EACH))
    values = [names, [f"Q{n}" for n in names], ["d"] * len(names), ["s"] * len(names), [f"t {n}" for n in names]]
    pq.write_table(pa.table([*values, [None] * len(names)], schema=PASSAGES), folder / "passages.parquet")
    card = {"rejected": {"reasons": {}}, "hash": str(seed), "files": []}
    (folder / "card.json").write_text(json.dumps(card))


def image(seed: int, row: int) -> str:
    """A path as long as the published ones."""
    return f"imagenet21k/imagenet21k_resized/imagenet21k_train/n{row % 9999:08d}/n{row % 9999:08d}_{seed}_{row}.JPEG"


def pack_paths(folder: Path, rows: int) -> None:
    """The table of paths of a pack; the keys are made up."""
    (folder / "pack").mkdir()
    schema = pa.schema([("path", pa.string()), ("key", pa.string())])
    with pq.ParquetWriter(folder / "pack/paths.parquet", schema, compression="zstd") as writer:
        for start in range(0, rows, ROW_GROUP):
            here = range(start, min(start + ROW_GROUP, rows))
            keys = [f"{row:016x}" * 4 for row in here]
            writer.write_table(pa.table({"path": [image(0, row) for row in here], "key": keys}, schema=schema))


def whole(folder: Path, splits: dict[str, int]) -> str:
    """The audit without perceptual hashes."""
    report = audit({name: folder / name for name in splits}, dataset="any", pack=folder / "pack", fail_on=[])
    return f"{report['pairs']['train+test']['golds']['count']} golds shared"


if __name__ == "__main__":
    main()
