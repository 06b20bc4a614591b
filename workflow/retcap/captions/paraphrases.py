"""METEOR's paraphrase table, cut to the entries that a set of references can match.

The table of the jar has 5.3 million entries, and reading them is nearly all of METEOR's start: 6 to 10 s, for every
system again. An entry (two phrases) can only ever match where one of them stands in a reference. So the entries without
a phrase of the references are left out, once per study: about one in twenty stays, in its old order, and every score is
the same to the last bit.

The jar normalises texts in its own way before it looks phrases up. So that nothing it could match is lost, phrases are
compared by letters and digits alone, and a phrase with any other sign in it stays.
"""

import gzip
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from retcap.captions import java

TABLE = "meteor/data/paraphrase-en.gz"
LONGEST = 7  # words of the longest phrase in the table
BLOCK = 1 << 24  # bytes of text at once
PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789 \n"  # an entry with any other sign in a phrase stays
_OTHER = re.compile(r"[^0-9a-z]+")


def cut(references: Iterable[str], path: Path, table: Path | None = None) -> int:
    """Write the entries that tokenised references can match; gives their number."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(sorted(phrase + b"\n" for phrase in _phrases(references)), pa.binary())
    plain = np.isin(np.arange(256), np.frombuffer(PLAIN, np.uint8))
    kept = 0
    with open(path, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as file:
        for text in _blocks(table or java.find_jar(TABLE)):
            signs = np.frombuffer(text, np.uint8)
            ends = np.append(0, np.flatnonzero(signs == ord("\n")) + 1).astype(np.int32)
            lines = pa.Array.from_buffers(pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(text)])
            found = pc.call_function("is_in", [lines], pc.SetLookupOptions(value_set=wanted))
            stays = found.to_numpy(zero_copy_only=False)
            stays[np.searchsorted(ends, np.flatnonzero(~plain[signs]), side="right") - 1] = True
            for at in np.flatnonzero(stays.reshape(-1, 3)[:, 1:].any(axis=1)).tolist():  # not for its probability
                file.write(text[ends[3 * at] : ends[3 * at + 3]])
                kept += 1
    return kept


def _phrases(references: Iterable[str]) -> set[bytes]:
    """All runs of up to LONGEST words of each reference, with the signs inside a word as blanks and left out."""
    found: set[bytes] = set()
    for text in references:
        lower = text.lower()
        apart, joined = _OTHER.sub(" ", lower).split(), [_OTHER.sub("", word) for word in lower.split()]
        for words in [apart] if apart == joined else [apart, joined]:
            real = [word for word in words if word]
            for start in range(len(real)):
                found.update(
                    " ".join(real[start : start + n]).encode() for n in range(1, min(LONGEST, len(real) - start) + 1)
                )
    return found


def _blocks(table: Path) -> Iterator[bytes]:
    """The table, many whole entries (a line each of probability, phrase, phrase) at once."""
    rest = b""
    with gzip.open(table, "rb") as file:
        while block := file.read(BLOCK):
            rest += block
            if (count := rest.count(b"\n")) < 3:
                continue
            end = len(rest)
            for _ in range(count % 3 + 1):  # back over the lines of an entry that is not whole
                end = rest.rindex(b"\n", 0, end)
            yield rest[: end + 1]
            rest = rest[end + 1 :]
    if rest:
        raise ValueError(f"{table} ends with half an entry: {rest[-200:]!r}. Install pycocoevalcap again.")
