"""One split of one data set, from the published files to the four files that the rest of the pipeline reads.

    queries.parquet     one row per query, in file order; repeated ids are kept (separate questions) and counted
    passages.parquet    the corpus, in file order; repeated ids are kept as rows and counted, search collapses them
    quarantine.jsonl    every rejected line with file, line number, reason and text
    card.json           what was read and found: hashes, counts, warnings

A training split often has no corpus file: its passages stand inside the query lines. They are collected, each id once.
Where the same id comes back with more (InfoSeek: here a null text, there the article) the parts are put together.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from retcap.files import jsonl
from retcap.records import Rejected
from retcap.retrieval.collect import PassageTable, QueryTable
from retcap.retrieval.m2kr.reader import Quarantine, Source
from retcap.retrieval.m2kr.roots import Roots

log = logging.getLogger(__name__)
WARN_REJECTED = 0.01  # of the lines of a split
WORLD_RECORD = "world.json"  # stands in the folder of a generated world


def normalise(
    dataset: str,
    split: str,
    *,
    queries: Sequence[str | Path],
    passages: Sequence[str | Path] = (),
    roots: str | Path | Mapping[str, str | Path] | None = None,
    out: str | Path,
    collect_inline: bool | None = None,
    limit: int | None = None,
    answer_kinds: Sequence[str] = (),
    published: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Write the four files into the folder `out` and return the card.

    `roots` is one folder or a mapping from path prefix to folder. `collect_inline` (default: for "train" only) adds
    passages that stand in query lines to the table. `limit` reads only that many usable records of each query file.
    `answer_kinds` are the forms to expect, `published` the rows: "queries", "passages" -> their number as published.
    What differs is a warning on the card; how much may be rejected is for `readiness` to judge.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    collect = split == "train" if collect_inline is None else collect_inline
    rejected: Counter[str] = Counter()
    files: list[dict[str, Any]] = []
    with (
        _quarantine(folder / "quarantine.jsonl", rejected) as quarantine,
        PassageTable(folder / "passages.parquet", dataset, split) as passage_table,
        QueryTable(folder / "queries.parquet", dataset, split) as query_table,
    ):
        for source in (Source(Path(path), quarantine) for path in passages):
            rows = 0
            for passage in source.passages(Roots(roots)):
                passage_table.add(passage)
                rows += 1
            files.append(_facts(source, "passages", rows))
        for source in (Source(Path(path), quarantine) for path in queries):
            rows = 0
            for query in islice(source.queries(Roots(roots)), limit):
                query_table.add(query)
                rows += 1
                if collect:
                    for positive in query.positives:
                        passage_table.add_inline(positive)
            files.append(_facts(source, "queries", rows))
        assert limit is not None or all(one["lines"] == one["rows"] + one["rejected"] + one["blank"] for one in files)
        passage_table.finish()
        counts = {"queries": query_table.card(passage_table.ids()), "passages": passage_table.card()}
    card = {
        "dataset": dataset,
        "split": split,
        "limit": limit,
        "generated": any(is_generated(Path(path)) for path in (*queries, *passages)),
        "files": files,
        **counts,
        "rejected": {"rows": rejected.total(), "reasons": dict(sorted(rejected.items()))},
        "hash": _combined_hash(files),
    }
    card["warnings"] = list(_warnings(card, answer_kinds, {} if card["generated"] else published or {}))
    (folder / "card.json").write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    _log_summary(card)
    return card


def is_generated(file: Path) -> bool:
    """Whether a file belongs to a generated world: its broken lines are planted, its numbers nobody's."""
    return any((folder / WORLD_RECORD).is_file() for folder in file.parents)


@contextmanager
def _quarantine(path: Path, reasons: Counter[str]) -> Iterator[Quarantine]:
    with jsonl.writing(path) as write:

        def quarantine(rejected: Rejected) -> None:
            reasons[rejected.reason] += 1
            write(rejected)

        yield quarantine


def _facts(source: Source, content: str, rows: int) -> dict[str, Any]:
    """What `card.json` says about one input file. With a limit: of the part of it that was read."""
    facts = {"name": source.path.name, "content": content, "rows": rows, "rejected": source.rejected}
    return facts | {"blank": source.blank, "lines": source.lines, "bytes": source.bytes, "sha256": source.sha256}


def _combined_hash(files: Sequence[Mapping[str, Any]]) -> str:
    """One name for the data: a hash over the files' roles and hashes; file names do not count."""
    return hashlib.sha256("\n".join(f"{file['content']} {file['sha256']}" for file in files).encode()).hexdigest()


def _warnings(card: Mapping[str, Any], answer_kinds: Sequence[str], published: Mapping[str, int]) -> Iterator[str]:
    """What a person should know before trusting results on this split, as sentences."""
    queries, passages = card["queries"], card["passages"]
    yield from _warnings_of_files(card, published)
    if repeated := queries["repeated_instruction"]:
        yield f"Questions that repeated their instruction in front: {repeated}; it was removed there."
    if again := queries["duplicate_ids"]:
        yield f"Query ids that come again: {again} of {queries['rows']} rows; each row is a question of its own."
    if nothing := passages["without_content"]:
        yield f"Passages without text and picture: {nothing} of {passages['rows']}; they stay in the corpus."
    if missing := queries["without_any_positive_in_passages"]:
        yield f"Queries without a positive among the passages: {missing} of {queries['rows']}, a miss when scored."
    if duplicates := passages["duplicate_ids"]:
        yield f"Passage rows that repeat an id: {duplicates}; by the strict rules the best-scoring row counts."
    if several := passages["ids_with_several_texts"]:
        yield f"Passage ids that come with more than one text: {several}."
    unrooted = queries["images_without_root"] + passages["images_without_root"]
    if unrooted:
        yield f"Image paths below no configured root: {unrooted}; they count as missing images."
    unusual = sorted(set(queries["answer_kinds"]) - set(answer_kinds)) if answer_kinds else []
    if unusual:
        yield f"Answers come as {', '.join(unusual)} instead of {', '.join(answer_kinds)}. Is it the right file?"
    if joined := queries["with_joined_answer"]:
        yield f'Queries with answers joined by "&&": {joined}; each is searched as one string.'


def _warnings_of_files(card: Mapping[str, Any], published: Mapping[str, int]) -> Iterator[str]:
    """About whole files: lines set aside, a file that is there twice, numbers of rows that are not the published."""
    rejected, lines = card["rejected"]["rows"], sum(file["lines"] for file in card["files"])
    if rejected > WARN_REJECTED * lines:
        yield f"Rejected lines: {rejected} of {lines} ({rejected / lines:.1%}): {_reasons(card)}; see quarantine.jsonl."
    for content in ("queries", "passages"):
        files = [file for file in card["files"] if file["content"] == content]
        first: dict[str, str] = {}
        for file in files:
            if file["sha256"] in first and file["rows"]:
                same = f"{file['name']} has the content of {first[file['sha256']]}"
                yield f"The same {content} twice: {same}; its {file['rows']} rows count twice."
            first.setdefault(file["sha256"], file["name"])
        rows = sum(file["rows"] for file in files)
        if files and published.get(content, rows) != rows:
            yield f"Rows of {content}: {rows}, published are {published[content]} ({rows - published[content]:+d})."


def _log_summary(card: Mapping[str, Any]) -> None:
    counts = (card["queries"]["rows"], card["passages"]["rows"], card["rejected"]["rows"])
    log.info("%s %s: %s queries, %s passages, %s rejected lines", card["dataset"], card["split"], *counts)
    for warning in card["warnings"]:
        log.warning("%s %s: %s", card["dataset"], card["split"], warning)


def check_usable(card: Mapping[str, Any], files: Mapping[str, Sequence[str | Path]], quarantine: Path) -> None:
    """Raise where the files of one role, queries or passages, gave no row; the message names them and the reasons."""
    for role, paths in files.items():
        read = [file for file in card["files"] if file["content"] == role]
        nothing = card["passages"]["without_content"] if role == "passages" else 0
        if not paths or sum(file["rows"] for file in read) > nothing:
            continue
        lines = sum(file["lines"] for file in read)
        why = _reasons(card) or "no line was rejected"
        raise ValueError(
            f"{card['dataset']} {card['split']}: no usable row in the {role} files {', '.join(map(str, paths))} "
            f"({lines} lines; rejected in this split: {why}). Rejected lines: {quarantine}. Are these the right files?"
        )


def _reasons(card: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in card["rejected"]["reasons"].items())
