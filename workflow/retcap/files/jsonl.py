"""JSON lines: one JSON value per line, in UTF-8. Every file of this kind that the project keeps passes through here.

A line ends at LF alone. JSON texts may hold U+2028, U+2029 and U+0085 as they are, and `str.splitlines` would cut a
record there; so these three are written as escapes, and files of others are cut as bytes.

    write, writing    a whole file or none
    append            to a file that grows while a job runs: what was appended outlives a kill in the next line
    read              the records of such files; lines: the raw lines of a file that others wrote
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from retcap.files.whole import replacing

ESCAPES = {end.encode(): f"\\u{ord(end):04x}".encode() for end in ("\u0085", "\u2028", "\u2029")}
_encode = msgspec.json.Encoder().encode


def encode(record: Any) -> bytes:
    """One record as a line with its end, whatever reads it and wherever that breaks lines. NaN becomes null.

    >>> encode({"text": "one\\u2028two"})
    b'{"text":"one\\\\u2028two"}\\n'
    """
    line = _encode(record)
    for character, escape in ESCAPES.items():
        if character in line:
            line = line.replace(character, escape)  # they are legal inside texts only, where the escape means the same
    return line + b"\n"


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Any], object]]:
    """A function that adds one record; the file appears when the block ends without an error."""
    with replacing(path) as partial, open(partial, "wb") as file:
        yield lambda record: file.write(encode(record))


def write(path: Path, records: Iterable[Any]) -> int:
    """Write all records, or nothing; gives their number."""
    count = 0
    with writing(path) as add:
        for record in records:
            add(record)
            count += 1
    return count


def append(path: Path, records: Iterable[Any]) -> None:
    """Add records behind the last whole line, on disk when this returns. One process at a time.

    What a killed process left of a line is cut off first: a record written behind it would be lost with it.
    """
    with open(path, "a+b") as file:
        file.truncate(_end_of_last_line(file))
        file.write(b"".join(map(encode, records)))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, *, appended: bool = False) -> Iterator[Any]:
    """The records; blank lines are passed over. ValueError with file and line where one is not JSON.

    `appended`: the file was written by `append`, so a last line without an end is what a kill left of it, and dropped.
    """
    for number, line in enumerate(lines(path), start=1):
        if appended and not line.endswith(b"\n"):
            return
        if line.isspace():
            continue
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}:{number}: not valid JSON ({error}); one JSON value per line expected.") from error


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their ends, cut at LF alone."""
    with open(path, "rb") as file:
        yield from file


def _end_of_last_line(file: Any, block: int = 65_536) -> int:
    """Bytes up to the last LF, that one included."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - block)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0
