"""How long scoring takes at the size of OKVQA, beside the plain loop over (query, hit, answer); and exact search.

    python tests/benchmarks/score_retrieval.py --queries 5000 --depth 500 --passages 114516

Passages of 630 characters with word frequencies after Zipf, answers of one to three words (some are sub-strings of
other words, some are numbers), 10 answers for a query at most. The plain loop is timed on a sample and scaled up; its
scores on the sample are compared with the fast ones. Times are CPU seconds of this process. One core of a 2-core cloud
machine, shared with other work, gave

                                                      here    plain loop
    PR@K of all hits, CPU s                                         12.8   scaled from 100 queries
    passages with an answer (floor), CPU s                        2545.1   scaled from 5 queries
    all metrics, floors, intervals, slices, CPU s      18.0        2557.9
    the same, seconds on the clock                     19.5
    strict with ret beside it, CPU s                   23.8
    peak memory 1537 MB
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retcap.features.vectors import Vectors
from retcap.retrieval.judging import dialects
from retcap.retrieval.judging.files import Files
from retcap.retrieval.judging.ways import score_ways
from retcap.retrieval.scoring import score_hits
from retcap.search.exact import Hits, exact_search

sys.path.insert(0, str(Path(__file__).parents[1]))
import retrieval_tables as tables

KS = (1, 5, 10, 20, 50, 100, 500)
STRICT = dialects.load("strict")
WORDS_PER_PASSAGE = 105  # about 630 characters, the mean of OKVQA's corpus


def main() -> None:
    arguments = parse()
    rng = np.random.default_rng(0)
    vocabulary = words(rng, 60_000)
    texts = passage_texts(rng, vocabulary, arguments.passages)
    records = [{"answer": answers(rng, vocabulary), "passage_id": [str(rng.integers(arguments.passages))],
                "image_path": f"{number // 2}.jpg"} for number in range(arguments.queries)]  # fmt: skip
    queries = tables.query_table(records)
    passages = tables.passage_table([(str(row), text) for row, text in enumerate(texts)])
    hits = random_hits(rng, arguments.queries, arguments.depth, arguments.passages, queries)
    megabytes = sum(len(text or "") for text in texts) / 1e6
    size = f"{arguments.queries} queries x {arguments.depth} hits, {arguments.passages} passages"
    print(f"{size}, {megabytes:.0f} MB of text")
    fast = Clock()
    with fast.running():
        scored = score_hits(Files.of(queries, passages, hits), KS, rng=np.random.default_rng(0), about=tables.ABOUT)
    both = Clock()
    filled = passages.set_column(2, "text", pc.fill_null(passages["text"], "none"))  # the original stops at a null
    with both.running():
        score_ways(queries, filled, hits, KS, ["strict", "ret"], 0, about=tables.ABOUT)
    sample = rng.choice(arguments.queries, size=min(arguments.sample, arguments.queries), replace=False)
    plain, floors = Clock(), Clock()
    with plain.running():
        loop = plain_scores(records, texts, hits, sample, arguments.depth)
    few = sample[: max(1, len(sample) // 20)]
    with floors.running():
        counted = [count_passages(records[query]["answer"], texts) for query in few]
    table = scored.per_query.to_pandas()
    for k in KS:
        assert table[f"PR@{k}"].iloc[sample].tolist() == loop[k], f"PR@{k} differs"
    assert table["n_answer_passages"].iloc[few].tolist() == counted, "the numbers of answer passages differ"
    loop_s, floor_s = plain.seconds * len(records) / len(sample), floors.seconds * len(records) / len(few)
    print(f"{'':44}{'here':>10}{'plain loop':>14}")
    print(f"{'PR@K of all hits, CPU s':44}{'':>10}{loop_s:>14.1f}   scaled from {len(sample)} queries")
    print(f"{'passages with an answer (floor), CPU s':44}{'':>10}{floor_s:>14.1f}   scaled from {len(few)} queries")
    print(f"{'all metrics, floors, intervals, slices, CPU s':44}{fast.seconds:>10.1f}{loop_s + floor_s:>14.1f}")
    print(f"{'the same, seconds on the clock':44}{fast.wall:>10.1f}")
    print(f"{'strict with ret beside it, CPU s':44}{both.seconds:>10.1f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    for name in ("PR@5", "PR word@5"):
        record, floor = scored.result["metrics"][name], scored.result["floors"][name]
        print(f"{name:10} {record['value']:.4f} [{record['ci_low']:.4f}, {record['ci_high']:.4f}]  floor {floor:.4f}")
    if arguments.width:
        time_search(rng, arguments)


def time_search(rng: np.random.Generator, arguments: argparse.Namespace) -> None:
    """Exact search in the defined order, beside one faiss call in fp32 over everything in memory."""
    import faiss

    p, q = (rng.normal(size=(count, arguments.width)).astype(np.float32) for count in (arguments.passages, 1000))
    q, p = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (q, p))
    ours, theirs = Clock(), Clock()
    with theirs.running():
        faiss.knn(q, p, 100, metric=faiss.METRIC_INNER_PRODUCT)
    with ours.running():
        found: Hits = exact_search(Vectors.of(q.astype(np.float16)), Vectors.of(p.astype(np.float16)), 100)
    assert len(found.rank) == 100 * len(q)
    print(f"search, 1,000 queries, width {arguments.width}, K = 100, seconds on the clock:", end=" ")
    print(f"{ours.wall:.1f} here, {theirs.wall:.1f} bare faiss")


class Clock:
    """CPU seconds and seconds on the clock of a block."""

    seconds = wall = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.seconds, self.wall = time.process_time() - cpu, time.perf_counter() - wall


def plain_scores(records, texts, hits: pa.Table, sample, depth: int) -> dict[int, list[float | None]]:
    """PR@K of some queries by the definition."""
    rows = hits["passage_row"].to_numpy().reshape(-1, depth)
    found: dict[int, list[float | None]] = {k: [] for k in KS}
    for query in sample:
        patterns = STRICT.answer_patterns(records[query]["answer"], f"q{query}")
        flags = [STRICT.contains_answer(patterns, texts[row]) for row in rows[query]]
        for k in KS:
            found[k].append(float(any(flags[:k])) if patterns.usable else None)
    return found


def count_passages(answer, texts) -> int:
    """How many passages contain an answer, by the definition."""
    patterns = STRICT.answer_patterns(answer, "q")
    return sum(STRICT.contains_answer(patterns, text) for text in texts)


def words(rng: np.random.Generator, count: int) -> list[str]:
    """Words of 2 to 12 letters with the letter frequencies of English, roughly."""
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    share = 1 / (np.arange(len(letters)) + 6)
    lengths = np.clip(rng.poisson(6, size=count), 2, 12)
    return ["".join(rng.choice(letters, size=length, p=share / share.sum())) for length in lengths]


def passage_texts(rng: np.random.Generator, vocabulary: list[str], count: int) -> list[str | None]:
    """Passages of Zipf words; some words are capitalised, some are years, a few texts are null."""
    cumulative = np.cumsum(1 / (np.arange(len(vocabulary)) + 3))
    table = np.array(vocabulary)
    texts: list[str | None] = []
    for _ in range(count):
        drawn = table[np.searchsorted(cumulative, rng.random(WORDS_PER_PASSAGE) * cumulative[-1])]
        texts.append(None if rng.random() < 0.01 else f"In {rng.integers(1500, 2025)} " + " ".join(drawn).capitalize())
    return texts


def answers(rng: np.random.Generator, vocabulary: list[str]) -> list:
    """Up to ten answers; one query in ten asks for a number."""
    if rng.random() < 0.1:
        year = int(rng.integers(1500, 2025))
        return [{"wikidata": float(year), "range": [year * 0.99, year * 1.01]}]
    several = rng.integers(1, 11)
    return [" ".join(vocabulary[i] for i in rng.integers(100, 60_000, size=rng.integers(1, 4))) for _ in range(several)]


def random_hits(rng: np.random.Generator, queries: int, depth: int, passages: int, table: pa.Table) -> pa.Table:
    """Distinct random passages for every query."""
    rows = np.concatenate([rng.choice(passages, size=depth, replace=False, shuffle=True) for _ in range(queries)])
    query = np.repeat(np.arange(queries), depth)
    columns = {
        "query_row": query,
        "query_id": table["query_id"].take(pa.array(query)),
        "rank": np.tile(np.arange(1, depth + 1, dtype=np.int32), queries),
        "passage_row": rows,
        "passage_id": pa.array(rows).cast(pa.string()),
        "score": np.tile(np.linspace(1, 0, depth, dtype=np.float32), queries),
    }
    return pa.table(columns)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--depth", type=int, default=500)
    parser.add_argument("--passages", type=int, default=114_516)
    parser.add_argument("--sample", type=int, default=100, help="queries that the plain loop scores")
    parser.add_argument("--width", type=int, default=0, help="also time exact search over vectors of this width")
    return parser.parse_args()


if __name__ == "__main__":
    main()
