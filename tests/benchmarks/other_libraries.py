"""Libraries that could do what retcap does itself, side by side with it: same results, CPU seconds, peak memory.

    uv run --with ahocorasick_rs --with duckdb python tests/benchmarks/other_libraries.py

Answers in passages: `judging/matching.py` and ahocorasick_rs (overlapping matches of every passage). Near-duplicate
hashes: `pictures/perceptual.py` and faiss's exact binary indexes. Distinct values and overlaps of two splits:
`splits/values.py` with NumPy and duckdb on the same parquet files. Every part runs in a process of its own.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import audit_retrieval
import score_retrieval

BITS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=114_516)
    parser.add_argument("--answers", type=int, default=25_000)
    parser.add_argument("--rows", type=int, default=1_200_000)
    parser.add_argument("--only", choices=["answers", "hashes", "overlaps"])
    arguments = parser.parse_args()
    parts = {"answers": answers, "hashes": hashes, "overlaps": overlaps}
    print(f"{'':60}{'CPU s':>8}{'clock s':>9}{'peak MB':>9}")
    for name, part in parts.items():
        if arguments.only in (None, name):
            part(arguments)


def measured(name: str, work: Callable[[], object]) -> object:
    """Runs `work` in a process of its own, prints what it took, and returns what it found."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def run() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu, clock = time.process_time(), time.perf_counter()
        found = work()
        took = time.process_time() - cpu, time.perf_counter() - clock
        theirs.send((found, *took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))

    process = context.Process(target=run)
    process.start()
    theirs.close()
    found, cpu, clock, peak = ours.recv()
    process.join()
    print(f"{name:60}{cpu:8.1f}{clock:9.1f}{peak:9.0f}", flush=True)
    return found


def answers(arguments: argparse.Namespace) -> None:
    """All (answer, passage) pairs, as substrings and as whole words."""
    from retcap.retrieval.judging import matching

    rng = np.random.default_rng(0)
    vocabulary = score_retrieval.words(rng, 60_000)
    texts = [text or "" for text in score_retrieval.passage_texts(rng, vocabulary, arguments.passages)]
    drawn = [
        " ".join(vocabulary[i] for i in rng.integers(100, 60_000, rng.integers(1, 4))) for _ in range(arguments.answers)
    ]
    patterns = sorted(set(drawn))
    for whole in (False, True):

        def ours(whole: bool = whole) -> int:
            found = matching.find(patterns, texts, str.lower, whole_words=whole)
            return sum(len(found.rows(number)) for number in range(len(patterns)))

        def theirs(whole: bool = whole) -> int:
            return len(aho(patterns, texts, whole))

        size = f"{len(patterns)} answers in {len(texts)} passages" + (", whole words" if whole else "")
        same = {measured(f"{size}: matching.py", ours), measured(f"{size}: ahocorasick_rs", theirs)}
        assert len(same) == 1, same


def aho(patterns: list[str], texts: list[str], whole: bool) -> np.ndarray:
    """pattern * texts + row of all matches."""
    import ahocorasick_rs

    automaton = ahocorasick_rs.AhoCorasick(patterns, store_patterns=False)
    pairs = []
    for row, text in enumerate(texts):
        folded = text.lower()
        found = automaton.find_matches_as_indexes(folded, overlapping=True)
        if whole:
            found = [one for one in found if alone(folded, one[1], one[2])]
        pairs += [number * len(texts) + row for number in {one[0] for one in found}]
    return np.unique(np.array(pairs, dtype=np.int64))


def alone(text: str, start: int, stop: int) -> bool:
    """Whether no letter or figure stands beside a match (plain text has no combining marks)."""
    before, after = text[start - 1 : start] if start else "", text[stop : stop + 1]
    return not (before.isalnum() or before == "_" or after.isalnum() or after == "_")


def hashes(arguments: argparse.Namespace) -> None:
    """For every hash of the second set the first one in the first set within 8 bits."""
    from retcap.pictures.perceptual import nearest

    for rows, others in ((arguments.rows, 5_000), (200_000, 200_000)):
        rng = np.random.default_rng(0)
        first, second = (rng.integers(0, 2**64, count, dtype=np.uint64) for count in (rows, others))
        for some in (first, second):
            alike = rng.integers(0, len(some), len(some) // 5)
            some[alike] = first[alike % 100] ^ (np.uint64(1) << rng.integers(0, 64, len(alike), dtype=np.uint64))

        def ours(first: np.ndarray = first, second: np.ndarray = second) -> bytes:
            return nearest(first, second, bits=BITS).tobytes()

        found = [measured(f"{others} hashes near {rows}: perceptual.py", ours)]
        for kind in ("flat", "multi-hash"):

            def theirs(first: np.ndarray = first, second: np.ndarray = second, kind: str = kind) -> bytes:
                return binary(first, second, kind).tobytes()

            found.append(measured(f"{others} hashes near {rows}: faiss, {kind}", theirs))
        assert len(set(found)) == 1


def binary(first: np.ndarray, second: np.ndarray, kind: str) -> np.ndarray:
    """By faiss: all neighbours within the radius, of which the lowest place is taken; a block of queries at a time."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(64)
    if kind != "flat":
        index = faiss.IndexBinaryMultiHash(64, 4, 16)
        index.nflip = BITS // 4
    index.add(first.view(np.uint8).reshape(-1, 8))
    found = np.full(len(second), -1, np.int64)
    for start in range(0, len(second), 1000):
        block = second[start : start + 1000].view(np.uint8).reshape(-1, 8)
        limits, _, place = index.range_search(block, BITS + 1)
        limits = limits.astype(np.int64)
        some = np.flatnonzero(np.diff(limits))
        found[start + some] = np.minimum.reduceat(place, limits[some]) if len(some) else -1
    return found


def overlaps(arguments: argparse.Namespace) -> None:
    """Distinct ids, queries, questions, pictures and gold passages of two splits, and how many are in both."""
    from retcap.retrieval.splits.values import all_hashes, values_of

    kinds = {
        "query_ids": "query_id FROM '{}'",
        "queries": "query_id || chr(0) || question FROM '{}'",
        "questions": "image || chr(0) || question FROM '{}'",
        "images": "image FROM '{}'",
        "golds": "unnest(positives) FROM '{}'",
    }
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / split for split in ("train", "test")]
        for number, (folder, rows) in enumerate(zip(folders, (arguments.rows, 5_000), strict=True)):
            # pyarrow's threads would not be there in the processes that are forked from this one
            measured(
                f"making {rows} rows",
                lambda folder=folder, rows=rows, number=number: audit_retrieval.tables(folder, rows, number),
            )

        def ours() -> list[int]:
            found = []
            for kind in kinds:
                left, right = (np.unique(all_hashes(values_of(folder, kind))) for folder in folders)
                found += [len(left), len(right), len(np.intersect1d(left, right, assume_unique=True))]
            return found

        def theirs() -> list[int]:
            import duckdb

            base = duckdb.connect(config={"threads": 1, "preserve_insertion_order": False})
            found: list[int] = []
            for text in kinds.values():
                left, right = (f"SELECT DISTINCT {text.format(folder / 'queries.parquet')}" for folder in folders)
                for query in (left, right, f"({left}) INTERSECT ({right})"):
                    found += base.sql(f"SELECT count(*) FROM ({query})").fetchall()[0]
            return found

        size = f"overlaps of {arguments.rows} and 5000 rows"
        first = measured(f"{size}: values.py, NumPy", ours)
        second = measured(f"{size}: duckdb", theirs)
        assert first == second, (first, second)


if __name__ == "__main__":
    main()
