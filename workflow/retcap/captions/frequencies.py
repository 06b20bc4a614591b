"""Document frequencies for CIDEr, frozen on a whole split.

CIDEr weighs an n-gram by how few documents contain it. A document is the set of references of one (image, query) pair.
Taken from the references of the run, as pycocoevalcap does, the same caption scores differently in a subset and in
the full split; taken from this file, any two subsets agree item by item. So pairs whose picture is gone count too: two
copies of a data set with other surviving pictures score the same caption alike. The hash goes into CIDEr's signature.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from retcap.captions.context import Context
from retcap.captions.ptb import VERSION
from retcap.captions.whitespace import collapse

ORDERS = 4  # n-grams of 1 to 4 tokens (Vedantam et al. 2015, section 3)


class DocumentFrequencies(msgspec.Struct, frozen=True):
    """How many of `documents` reference sets contain each n-gram (tokens joined by one space)."""

    documents: int
    counts: dict[str, int]
    sha256: str
    document: str = "all references of one (image, query) pair"
    tokenisation: str = VERSION
    reason: str | None = None  # why nothing could be counted


def ngrams(tokens: Sequence[str], n: int) -> list[str]:
    """All n-grams of one order, repeated ones included.

    >>> ngrams(["a", "red", "bus"], 2)
    ['a red', 'red bus']
    """
    return [" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def documents(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """The references of every pair of a split, from the rows of its CSV (image, query, reference or None)."""
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        if row["reference"] is not None:
            pairs[row["image"], row["query"]].append(collapse(row["reference"]))
    return list(pairs.values())


def build(references: Iterable[Sequence[str]], context: Context) -> DocumentFrequencies:
    """Frequencies from the untokenised references of a whole split, one sequence of texts per pair."""
    documents = [[text for text in texts if text.strip()] for texts in references]
    return count_documents(context.tokenised([], documents)[1])


def uncounted(reason: str) -> DocumentFrequencies:
    """What stands for frequencies that could not be counted: CIDEr has no value then, and this reason."""
    return msgspec.structs.replace(count_documents([]), reason=reason)


def count_documents(references: Iterable[Sequence[str]]) -> DocumentFrequencies:
    """Frequencies from PTB-tokenised references, one sequence of texts per pair; a pair without any is no document."""
    counts: Counter[str] = Counter()
    documents = 0
    for texts in references:
        if not texts:
            continue
        documents += 1
        sentences = [text.split() for text in texts]
        counts.update({gram for words in sentences for n in range(1, ORDERS + 1) for gram in ngrams(words, n)})
    ordered = dict(sorted(counts.items()))
    return DocumentFrequencies(documents, ordered, _digest(documents, ordered))


def write(frequencies: DocumentFrequencies, path: Path | str) -> None:
    """One JSON file; the same references always give the same bytes."""
    Path(path).write_bytes(msgspec.json.encode(frequencies))


def read(path: Path | str) -> DocumentFrequencies:
    """Read what `write` wrote, and check that its hash fits its content."""
    try:
        frequencies = msgspec.json.decode(Path(path).read_bytes(), type=DocumentFrequencies)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}: no document frequencies ({error}). Delete the file and build it again.") from error
    found = _digest(frequencies.documents, frequencies.counts)
    if found != frequencies.sha256:
        raise ValueError(
            f"{path}: the content has hash {found[:12]}, the file says {frequencies.sha256[:12]}. "
            "It was changed or cut off: delete it and build it again."
        )
    return frequencies


def _digest(documents: int, ordered: dict[str, int]) -> str:
    digest = hashlib.sha256(f"{VERSION}\n{documents}\n".encode())
    for gram, count in ordered.items():
        digest.update(f"{gram}\t{count}\n".encode())
    return digest.hexdigest()
