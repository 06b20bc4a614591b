"""Tables of plain text, for the terminal."""

from collections.abc import Sequence

SHAPES_RESULTS = False  # see retcap.reruns.digest
NOTHING = "–"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, all others to the right.

    >>> print(*text_table(["", "BLEU-4"], [["blind", ".1"], ["a model", ".25"]]), sep="\\n")
             BLEU-4
    blind        .1
    a model     .25
    """
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    return ["  ".join(_padded(cells, widths)).rstrip() for cells in (head, *rows)]


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(cells, widths, strict=True)
    return [f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]
