"""The longest common subsequence of two texts, for every ROUGE-L."""

from collections.abc import Sequence


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, one row of the table per machine integer.

    Bit i of `row` is 0 where the table grows at position i of `first` (Hyyrö 2004, "Bit-parallel LCS-length
    computation revisited", figure 2); the number of zeros is the length.

    >>> lcs_length("a cat sits on a mat".split(), "a cat on a mat".split())
    5
    """
    where: dict[str, int] = {}
    for i, word in enumerate(first):
        where[word] = where.get(word, 0) | 1 << i
    full = row = (1 << len(first)) - 1
    for word in second:
        hits = row & where.get(word, 0)
        row = (row + hits | row - hits) & full
    return len(first) - row.bit_count()
