"""Which of many patterns occur in which of many texts: substring search for all patterns in a few passes.

Testing every (pattern, text) pair takes hours for a whole corpus (25,000 answers x 100,000 passages). Here the texts
are joined into UTF-8 buffers, and the eight bytes at every position, read as one integer, are looked up in the table of
all patterns of that length (1 to 8 bytes; longer ones by their first eight). What is found is compared in full, so the
result is exactly that of `pattern in fold(text)`. ahocorasick_rs finds the same 2.5 times slower, whole words 4.7 times
(25,000 answers in 5,000 passages, CPU seconds: 0.9 and 2.2, 0.3 and 1.4; tests/benchmarks/other_libraries.py).

>>> found = find(["zoo", "bear"], ["a zoo", None, "bearing", "zoo of bears"])
>>> [found.rows(pattern).tolist() for pattern in range(2)]
[[0, 3], [2, 3]]
>>> find(["bear"], ["bearing", "the bear."], whole_words=True).rows(0).tolist()
[1]
"""

import functools
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt64

WIDTH = 8  # bytes read at once
CHUNK = 2**22  # characters of text joined at once
PIECE = 2**17  # positions looked up at once: their integers stay in the processor's cache
TABLE_BITS = 20
MIXER = np.uint64(0x9E3779B97F4A7C15)  # odd, 2**64 / golden ratio: spreads the integers over the table (Knuth, 6.4)
SEPARATOR = b"\xff"  # in no UTF-8 text, so no match runs from one text into the next


class Occurrences:
    """The texts each pattern occurs in: ascending row numbers without repeats."""

    def __init__(self, patterns: int, texts: int, pairs: Int64[np.ndarray, " M"]) -> None:
        """`pairs` holds pattern * texts + row, sorted, without repeats."""
        self._starts = np.searchsorted(pairs, np.arange(patterns + 1) * texts)
        self._rows = (pairs % texts).astype(np.int32) if texts else pairs.astype(np.int32)

    def rows(self, pattern: int) -> np.ndarray:
        """Rows of the texts that contain this pattern."""
        return self._rows[self._starts[pattern] : self._starts[pattern + 1]]


def find(
    patterns: Sequence[str],
    texts: Sequence[str | None],
    fold: Callable[[str], str] = str,
    *,
    whole_words: bool = False,
) -> Occurrences:
    """Find all patterns in all texts, which are folded first; the patterns are taken as given. "" is in every text.

    whole_words: no letter, figure, combining mark or underscore right before or after the match.
    """
    encoded = [pattern.encode("utf-8", "surrogatepass") for pattern in patterns]
    lengths = np.array([len(pattern) for pattern in encoded], dtype=np.int64)
    groups = _groups(encoded)
    present = np.array([row for row, text in enumerate(texts) if text is not None], dtype=np.int64)
    found = [number * len(texts) + present for number in np.flatnonzero(lengths == 0)]
    for first, some in _chunks(texts, fold) if groups else ():
        chunk = _Chunk.of(first, some, whole_words)
        found += [_in_chunk(group, encoded, lengths, chunk, len(texts)) for group in groups]
    pairs = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    pairs.sort()
    return Occurrences(len(encoded), len(texts), pairs)


class Finder:
    """`find` in one list of texts, which remembers: several dialects look for nearly the same answers."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        self._texts = texts
        self._known: dict[tuple[Callable[[str], str], bool, str], np.ndarray] = {}

    def rows(
        self, patterns: Sequence[str], fold: Callable[[str], str] = str, *, whole_words: bool = False
    ) -> dict[str, np.ndarray]:
        """Rows of the texts that contain each pattern."""
        new = [pattern for pattern in patterns if (fold, whole_words, pattern) not in self._known]
        found = find(new, self._texts, fold, whole_words=whole_words)
        self._known |= {(fold, whole_words, pattern): found.rows(place) for place, pattern in enumerate(new)}
        return {pattern: self._known[fold, whole_words, pattern] for pattern in patterns}


class _Group(NamedTuple):
    """Patterns whose first `length` bytes are looked up together; `length` is 8 for all patterns of 8 bytes or more."""

    mask: np.uint64
    keys: UInt64[np.ndarray, " U"]  # distinct heads, sorted
    table: Bool[np.ndarray, " T"]  # by hash: may a head have this hash?
    members: list[list[int]]  # patterns by head


def _groups(encoded: Sequence[bytes]) -> list[_Group]:
    by_length: dict[int, dict[int, list[int]]] = {}
    for number, pattern in enumerate(encoded):
        if pattern:
            head = int.from_bytes(pattern[:WIDTH], "little")
            by_length.setdefault(min(len(pattern), WIDTH), {}).setdefault(head, []).append(number)
    groups = []
    for length, heads in sorted(by_length.items()):
        keys = np.array(sorted(heads), dtype=np.uint64)
        table = np.zeros(2**TABLE_BITS, dtype=bool)
        table[_hash(keys)] = True
        groups.append(_Group(np.uint64(2 ** (8 * length) - 1), keys, table, [heads[int(key)] for key in keys]))
    return groups


def _hash(keys: UInt64[np.ndarray, " U"]) -> np.ndarray:
    return (keys * MIXER) >> np.uint64(64 - TABLE_BITS)


def _chunks(texts: Sequence[str | None], fold: Callable[[str], str]) -> Iterator[tuple[int, list[str]]]:
    """(row of the first text, folded texts); a null text becomes an empty one, in which nothing is found."""
    first, size, some = 0, 0, []
    for row, text in enumerate(texts):
        some.append(fold(text) if text else "")
        size += len(some[-1]) + 1
        if size >= CHUNK:
            yield first, some
            first, size, some = row + 1, 0, []
    if some:
        yield first, some


class _Chunk(NamedTuple):
    """Joined texts, and the positions where a match may begin."""

    first: int  # row of the first text
    starts: Int64[np.ndarray, " T"]  # where each text begins
    words: np.ndarray  # every position's eight bytes as one integer
    size: int  # bytes
    glue: Bool[np.ndarray, " N"] | None  # bytes of characters that words are made of
    positions: Int64[np.ndarray, " P"] | None  # None: everywhere

    @classmethod
    def of(cls, first: int, texts: Sequence[str], whole_words: bool) -> "_Chunk":
        parts = [text.encode("utf-8", "surrogatepass") for text in texts]
        starts = np.cumsum([0] + [len(part) + 1 for part in parts])
        data = SEPARATOR.join(parts) + SEPARATOR * (WIDTH + 1)
        # a view with a stride of one byte: nothing is copied
        words = np.ndarray(shape=(len(data) - WIDTH + 1,), dtype="<u8", buffer=data, strides=(1,))
        if not whole_words:
            return cls(first, starts, words, len(data), None, None)
        glue = _word_bytes(texts, data, starts)
        begins = np.concatenate([[0], 1 + np.flatnonzero(~glue[: len(words) - 1])])
        return cls(first, starts, words, len(data), glue, begins)


def _in_chunk(
    group: _Group, encoded: Sequence[bytes], lengths: Int64[np.ndarray, " U"], chunk: _Chunk, total: int
) -> Int64[np.ndarray, " M"]:
    """pattern * total + row of the group's matches in one chunk, without repeats."""
    pattern, position = _compare_tails(*_matches(group, chunk), encoded, lengths, chunk)
    if chunk.glue is not None:
        alone = ~chunk.glue[position + lengths[pattern]]
        pattern, position = pattern[alone], position[alone]
    row = np.searchsorted(chunk.starts, position, side="right") - 1 + chunk.first
    pairs = np.sort(pattern * total + row)  # np.unique hashes, which is several times slower here
    return pairs[np.diff(pairs, prepend=-1) > 0]


def _matches(group: _Group, chunk: _Chunk) -> tuple[np.ndarray, np.ndarray]:
    """(pattern, position) of every occurrence of a head of the group."""
    heads, positions = [], []
    count = len(chunk.words) if chunk.positions is None else len(chunk.positions)
    for start in range(0, count, PIECE):
        some = slice(start, start + PIECE)
        here = (chunk.words[some] if chunk.positions is None else chunk.words[chunk.positions[some]]) & group.mask
        maybe = np.flatnonzero(group.table[_hash(here)])
        head = np.minimum(np.searchsorted(group.keys, here[maybe]), len(group.keys) - 1)
        sure = group.keys[head] == here[maybe]
        heads.append(head[sure])
        positions.append(maybe[sure] + start)
    head, position = np.concatenate(heads), np.concatenate(positions)
    if chunk.positions is not None:
        position = chunk.positions[position]
    times = np.array([len(members) for members in group.members])
    flat = np.array([number for members in group.members for number in members], dtype=np.int64)
    if len(flat) == len(times):  # one pattern per head
        return flat[head], position
    first, repeat = np.cumsum(times) - times, times[head]
    offset = np.arange(repeat.sum()) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    return flat[np.repeat(first[head], repeat) + offset], np.repeat(position, repeat)


def _compare_tails(
    pattern: np.ndarray,
    position: np.ndarray,
    encoded: Sequence[bytes],
    lengths: Int64[np.ndarray, " U"],
    chunk: _Chunk,
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the candidates that agree beyond their first eight bytes: eight at a time, the last eight overlapping."""
    fits = position + lengths[pattern] <= chunk.size
    pattern, position = pattern[fits], position[fits]
    done_pattern, done_position, offset = [], [], WIDTH
    while len(pattern):
        longer = lengths[pattern] > offset
        done_pattern.append(pattern[~longer])
        done_position.append(position[~longer])
        pattern, position = pattern[longer], position[longer]
        shift = np.minimum(offset, lengths[pattern] - WIDTH)
        distinct, place = np.unique(pattern, return_inverse=True)
        wanted = [_window(encoded[number], offset) for number in distinct]
        same = chunk.words[position + shift] == np.array(wanted, dtype=np.uint64)[place]
        pattern, position = pattern[same], position[same]
        offset += WIDTH
    return np.concatenate([*done_pattern, pattern]), np.concatenate([*done_position, position])


def _window(pattern: bytes, offset: int) -> int:
    start = min(offset, len(pattern) - WIDTH)
    return int.from_bytes(pattern[start : start + WIDTH], "little")


def _word_bytes(texts: Sequence[str], data: bytes, starts: Int64[np.ndarray, " T"]) -> Bool[np.ndarray, " N"]:
    """For every byte of the joined texts: does it belong to a character that words are made of?"""
    ascii_table = np.array([_in_words(point) for point in range(128)] + [False] * 128)
    flags = ascii_table[np.frombuffer(data, dtype=np.uint8)]
    for text, start in zip(texts, starts, strict=False):
        if not text.isascii():
            points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            sizes = 1 + (points >= 0x80).astype(int) + (points >= 0x800) + (points >= 0x10000)  # bytes in UTF-8
            flags[start : start + sizes.sum()] = np.repeat([_in_words(point) for point in points.tolist()], sizes)
    return flags


@functools.cache
def _in_words(point: int) -> bool:
    """Letters, figures, the underscore, and the combining marks that many scripts write vowels with."""
    character = chr(point)
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
