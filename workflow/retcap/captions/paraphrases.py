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
_ODD = re.compile(rb"[^a-z0-9 \n]")
_OTHER = re.compile(r"[^0-9a-z]+")


def cut(references: Iterable[str], path: Path, table: Path | None = None) -> int:
    """Write the entries that tokenised references can match; gives their number."""
    wanted, kept = _phrases(references), 0
    with open(path, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as file:
        for lines in _blocks(table or java.find_jar(TABLE)):
            first, second = lines[1::3], lines[2::3]
            stays = {at for at, pair in enumerate(zip(first, second, strict=True)) if not wanted.isdisjoint(pair)}
            for at in sorted(stays | _odd(first) | _odd(second)):
                file.write(b"\n".join([*lines[3 * at : 3 * at + 3], b""]))
                kept += 1
    return kept


def _phrases(references: Iterable[str]) -> set[bytes]:
    """All runs of up to LONGEST words of each reference, with the signs inside a word as blanks and left out."""
    found: set[bytes] = set()
    for text in references:
        lower = text.lower()
        for words in (_OTHER.sub(" ", lower).split(), [_OTHER.sub("", word) for word in lower.split()]):
            real = [word for word in words if word]
            for start in range(len(real)):
                found.update(
                    " ".join(real[start : start + n]).encode() for n in range(1, min(LONGEST, len(real) - start) + 1)
                )
    return found


def _odd(phrases: list[bytes]) -> set[int]:
    """Places of the phrases with other signs than letters, digits and blanks."""
    text = b"\n".join(phrases)
    found: set[int] = set()
    place = at = 0
    for match in _ODD.finditer(text):
        at += text.count(b"\n", place, match.start())
        place = match.start()
        found.add(at)
    return found


def _blocks(table: Path) -> Iterator[list[bytes]]:
    """The lines of the table, many entries (probability, phrase, phrase) at once."""
    rest: list[bytes] = [b""]
    with gzip.open(table, "rb") as file:
        while block := file.read(BLOCK):
            lines = (rest[-1] + block).split(b"\n")
            lines = rest[:-1] + lines
            whole = (len(lines) - 1) // 3 * 3
            yield lines[:whole]
            rest = lines[whole:]
    if rest != [b""]:
        raise ValueError(f"{table} ends with half an entry: {rest[0]!r}. Install pycocoevalcap again.")
