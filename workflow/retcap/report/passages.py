"""Example queries of the retrieval section: query, picture, the first five passages, and the gold passage if missed.

A passage is marked as gold, or as holding an answer by the rule of PR: that a passage can be the one without being the
other is what the two scores are about.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retcap.report import pictures, wording
from retcap.report.inputs import RetrievalInputs, read_arrow, read_rows
from retcap.retrieval.judging.collapse import collapsed
from retcap.retrieval.judging.patterns import Patterns

TOP = 5
QUERY_WIDTH_PX, PASSAGE_WIDTH_PX = 320, 160
PASSAGE_CHARACTERS = 260
HIT_COLUMNS = ["query_row", "rank", "passage_row", "passage_id", "score"]
Row = Mapping[str, Any]
Picture = Callable[[Any, int], str | None]


def build(inputs: RetrievalInputs) -> list[dict[str, Any]]:
    """Per data set with queries, passages and hits: some queries whose gold passage was found, some where it was not.

    Of passages and pictures, only those shown are read. A repeated passage id is shown once.
    """
    groups = []
    packs = next(iter(inputs.image_packs.values()), {})
    for dataset in [name for name in inputs.hits if name in inputs.queries and name in inputs.passages]:
        top = defaultdict(list)
        hits = collapsed(read_arrow(inputs.hits[dataset], HIT_COLUMNS))
        for hit in first_hits(hits):
            top[hit["query_row"]].append(hit)
        gold = read_rows(inputs.queries[dataset], ["row", "positives"], columns=["row", "positives"])
        chosen = choose({row["row"]: set(row["positives"]) for row in gold}, top, inputs.examples)
        queries = _by_row(inputs.queries[dataset], chosen, ["question", "positives"])
        missed = _missed(hits, queries, top)
        shown = [hit for row in chosen for hit in [*top[row], *missed.get(row, [])]]
        passages = _by_row(inputs.passages[dataset], [hit["passage_row"] for hit in shown], ["passage_id", "text"])
        named = [row.get("image") for row in [*queries.values(), *passages.values()]]
        picture = _pictures(packs.get(dataset), named)
        examples = [_example(queries[row], top[row], missed.get(row, []), passages, picture) for row in chosen]
        groups.append({"dataset": dataset, "examples": examples})
    return groups


def first_hits(hits: pa.Table) -> list[dict[str, Any]]:
    """The first five passages of every query."""
    return hits.filter(pc.field("rank") <= TOP).to_pylist()


def _missed(
    hits: pa.Table, queries: Mapping[int, Row], top: Mapping[int, Sequence[Row]]
) -> dict[int, list[dict[str, Any]]]:
    """Query row -> best-ranked gold hit behind the first five, for queries without one among them."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row, query in queries.items():
        gold = sorted(query["positives"])
        if not any(hit["passage_id"] in gold for hit in top[row]):
            behind = hits.filter((pc.field("query_row") == row) & pc.field("passage_id").isin(gold)).to_pylist()
            found[row] = sorted(behind, key=lambda hit: hit["rank"])[:1]
    return found


def choose(gold: Mapping[int, set[str]], top: Mapping[int, Sequence[Row]], amount: int) -> list[int]:
    """Rows of the queries shown: half with a gold passage among the first five, half without, as far as there are any.

    Evenly spread over the file, which needs no random numbers. `gold`: passage ids by query row; `top`: first hits.
    """
    rows = sorted(row for row in top if row in gold)
    good = [row for row in rows if any(hit["passage_id"] in gold[row] for hit in top[row])]
    bad = sorted(set(rows) - set(good))
    first = min(len(good), max(amount - amount // 2, amount - len(bad)))
    return _spread(good, first) + _spread(bad, amount - first)


def _spread(rows: list[int], amount: int) -> list[int]:
    """`amount` of the rows, one from the middle of each of as many equal parts."""
    if len(rows) <= amount:
        return rows
    return [rows[(2 * part + 1) * len(rows) // (2 * amount)] for part in range(amount)]


def _by_row(path: Path, rows: Sequence[int], needs: list[str]) -> dict[int, Row]:
    found = read_rows(path, ["row", *needs], filters=[("row", "in", sorted(set(rows)))]) if rows else []
    return {row["row"]: row for row in found}


def _pictures(folder: Path | None, paths: list[Any]) -> Picture:
    pack = pictures.open_pack(folder)
    keys = pictures.keys_of(folder, paths)
    return lambda path, width_px: pictures.thumbnail(pack, keys.get(path), width_px)


def _example(
    query: Row, hits: Sequence[Row], missed: Sequence[Row], passages: Mapping[int, Row], picture: Picture
) -> dict[str, Any]:
    texts = tuple(text.strip().lower() for text in query.get("answers") or [] if text and text.strip())
    ranges = tuple((one["low"], one["high"]) for one in query.get("numeric") or [])
    wanted = Patterns(texts, ranges)
    ranked = [*sorted(hits, key=lambda hit: hit["rank"]), *missed]
    numbers = [f"{wording.number(low, 2)} to {wording.number(high, 2)}" for low, high in ranges]
    return {
        "question": query["question"],
        "instruction": query.get("instruction") or "",
        "picture": picture(query.get("image"), QUERY_WIDTH_PX),
        "answers": [str(answer) for answer in query.get("answers") or []] + numbers,
        "hits": [
            _hit(hit, set(query["positives"]), wanted, passages.get(hit["passage_row"], {}), picture) for hit in ranked
        ],
        "found": not missed and any(hit["passage_id"] in query["positives"] for hit in hits),
    }


def _hit(hit: Row, gold: set[str], wanted: Patterns, passage: Row, picture: Picture) -> dict[str, Any]:
    text = passage.get("text")
    return {
        "rank": hit["rank"],
        "behind": hit["rank"] > TOP,
        "id": hit["passage_id"],
        "gold": hit["passage_id"] in gold,
        "answers": text is not None and wanted.are_in(text),
        "score": wording.number(hit["score"]),
        "text": wording.cut(text, PASSAGE_CHARACTERS) if text else "(no text)",
        "picture": picture(passage.get("image"), PASSAGE_WIDTH_PX),
    }
