"""Streams M2KR and ReT-M2KR JSON lines as uniform records; a line that cannot be used goes to the quarantine.

What the lines look like is in `lines.py`. Memory is that of one line.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from retcap.records import Rejected
from retcap.retrieval.m2kr.lines import Passage, PassageLine, Query, QueryLine, Unusable, to_passage, to_query
from retcap.retrieval.m2kr.roots import LeavesRoot, Roots

# Bytes. The longest published passage has 73 kB; a longer line is a file that is not JSON lines.
LINE_LIMIT = 16 * 2**20
RECORD_LIMIT = 500  # characters of the offending text that the quarantine keeps

COLON = b'":'  # behind every key, as nearly everybody writes JSON; the others are looked at more closely
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Struct = TypeVar("Struct", bound=msgspec.Struct)
Quarantine = Callable[[Rejected], None]


class Source:
    """One JSON lines file that is being read: counts its lines and hashes its bytes on the way."""

    def __init__(self, path: Path, quarantine: Quarantine) -> None:
        self.path = path
        self.quarantine = quarantine
        self.lines = self.blank = self.rejected = 0
        self.bytes = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Hash of the bytes read so far; of the whole file once the reader is exhausted."""
        return self._digest.hexdigest()

    def queries(self, roots: Roots) -> Iterator[Query]:
        """All usable queries of the file, in order."""
        return self._records(QueryLine, lambda line: to_query(line, roots))

    def passages(self, roots: Roots) -> Iterator[Passage]:
        """All usable passages of a corpus file, in order, repeated ids included."""
        return self._records(PassageLine, lambda line: to_passage(line, roots))

    def _records(self, kind: type[Struct], convert: Callable[[Struct], Any]) -> Iterator[Any]:
        decode = msgspec.json.Decoder(kind).decode
        for line in self._nonblank_lines():
            try:
                if not line.isascii():
                    line.decode()  # msgspec skips unknown keys unseen: a known one with a broken byte would be lost
                decoded = decode(line)
                if not _plain_keys(line):
                    _refuse_repeated_keys(line, kind)
                record = convert(decoded)
            except (Unusable, LeavesRoot, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self._reject(error, line)
                continue
            yield record

    def _nonblank_lines(self) -> Iterator[bytes]:
        if not self.path.is_file():
            raise FileNotFoundError(
                f"No data file at {self.path}. Correct its name in the configuration or fetch it first."
            )
        with self.path.open("rb", buffering=2**20) as file:
            while line := file.readline(LINE_LIMIT):
                self.lines += 1
                self._count(line)
                if len(line) == LINE_LIMIT and not line.endswith(b"\n"):
                    self._reject(Unusable("line_too_long", f"longer than {LINE_LIMIT} bytes: not JSON lines?"), line)
                    self._skip_line(file)
                    continue
                if self.lines == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")  # byte order mark that some editors write
                if line.isspace():
                    self.blank += 1
                else:
                    yield line

    def _skip_line(self, file: Any) -> None:
        while (part := file.readline(LINE_LIMIT)) and not part.endswith(b"\n"):
            self._count(part)
        self._count(part)

    def _count(self, part: bytes) -> None:
        self.bytes += len(part)
        self._digest.update(part)

    def _reject(self, error: Exception, line: bytes) -> None:
        record = line[: 4 * RECORD_LIMIT].decode(errors="replace").strip()[:RECORD_LIMIT]
        self.rejected += 1
        self.quarantine(Rejected(self.path.name, self.lines, reason_of(error), str(error), record))


def _plain_keys(line: bytes) -> bool:
    """Whether every key surely stands once: there are as many colons behind quotes as keys, in the line and in answers.

    Else nothing is said: a text may hold one too. This runs once per line, a closer look takes five times as long.
    """
    members = _members(line)
    within = sum(bytes(members[name]).count(COLON) for name in ("answer", "answers") if name in members)
    return line.count(COLON) == len(members) + within


def _refuse_repeated_keys(line: bytes, kind: type[msgspec.Struct]) -> None:
    """Raise Unusable where a key that is read stands twice: msgspec would take the last value without a word."""

    def found(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal outermost
        outermost = [name for name, _ in pairs]  # the outermost object is finished last
        return {}

    outermost: list[str] = []
    try:
        json.loads(line, object_pairs_hook=found)
    except ValueError:
        return  # msgspec says what is broken
    twice = [name for name in kind.__struct_fields__ if outermost.count(name) > 1]
    if twice:
        raise Unusable("repeated_key", f"the key `{twice[0]}` stands there {outermost.count(twice[0])} times")


def reason_of(error: Exception) -> str:
    """Stable code of a rejection."""
    if isinstance(error, Unusable):
        return error.reason
    if isinstance(error, LeavesRoot):
        return "path_leaves_root"
    if isinstance(error, RecursionError):
        return "nested_too_deeply"
    return "wrong_type" if isinstance(error, msgspec.ValidationError) else "broken_json"
