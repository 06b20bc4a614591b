"""Numbers written in a text, for answers that are numeric ranges.

Whole numbers are read, so 1 is not in "2010". Thousands may be grouped by commas (also 1,00,000) or by the no-break
spaces of typographers; a decimal point is a point. Figures that cannot be one number (1.2.3, 3,5) and figures glued to
a letter before them (B52) are left out. A minus counts where no letter or figure stands before it: 5-10 is 5 and 10.

>>> numbers("A 4,807 m high peak, −5.5 °C, since 2010-05; version 1.2.3 of B52, 1990s")
[4807.0, -5.5, 2010.0, 5.0, 1990.0]
"""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int64

SPACES = "\u00a0\u2009\u202f"  # no-break, thin and narrow no-break space
FIGURES = re.compile(rf"\d[\d.,{SPACES}]*(?:(?<=\d)[eE][-+]?\d+(?!\w))?")  # starts with a class: fast to search for
NUMBER = re.compile(
    rf"(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,2}}(?:,\d{{2}})+,\d{{3}}|\d{{1,3}}(?:[{SPACES}]\d{{3}})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?"
)
GROUPING = re.compile(rf"[,{SPACES}]")
Range = tuple[float, float]


def numbers(text: str) -> list[float]:
    """Numbers of a text in their order."""
    return list(_numbers(text))


def _numbers(text: str) -> Iterator[float]:
    for found in FIGURES.finditer(text):
        start, figures = found.start(), found.group().rstrip(".," + SPACES)
        before = text[start - 1] if start else " "
        if before == "." and not (start > 1 and _glues(text[start - 2])):
            figures, before = "0." + figures, text[start - 2] if start > 1 else " "
            start -= 1
        if _glues(before):
            continue
        negative = before in "-−" and not (start > 1 and _glues(text[start - 2]))
        parts = [figures] if NUMBER.fullmatch(figures) else re.split(f"[{SPACES}]", figures)
        for place, part in enumerate(parts):
            value = float(GROUPING.sub("", part)) if NUMBER.fullmatch(part) else math.inf
            if math.isfinite(value):
                yield -value if negative and place == 0 else value


def _glues(character: str) -> bool:
    return character.isalnum() or character in "_.,"


def contains_number(text: str, ranges: Sequence[Range]) -> bool:
    """Whether some number of the text lies within some closed range."""
    return bool(ranges) and any(low <= number <= high for number in _numbers(text) for low, high in ranges)


class NumberTable:
    """All numbers of a corpus sorted by value, so that a range is two binary searches."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        pairs = [(value, row) for row, text in enumerate(texts) if text is not None for value in _numbers(text)]
        values = np.array([value for value, _ in pairs], dtype=np.float64)
        order = np.argsort(values, kind="stable")
        self.values: Float64[np.ndarray, " M"] = values[order]
        self.rows: Int64[np.ndarray, " M"] = np.array([row for _, row in pairs], dtype=np.int64)[order]

    def rows_within(self, bounds: Range) -> Int64[np.ndarray, " N"]:
        """Rows (with repeats) that hold a number within the closed range."""
        low = np.searchsorted(self.values, bounds[0], side="left")
        return self.rows[low : np.searchsorted(self.values, bounds[1], side="right")]
