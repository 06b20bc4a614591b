"""What one query's answers look for in the text of a passage."""

import unicodedata
from typing import NamedTuple

from retcap.retrieval.judging.numerals import contains_number


class Patterns(NamedTuple):
    """Lower-case substrings (an empty one is in every text) and closed number ranges."""

    texts: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...] = ()

    @property
    def usable(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.texts or self.ranges)

    def are_in(self, text: str) -> bool:
        """Whether a text contains an answer.

        >>> [Patterns(("park",), ((1.0, 2.0),)).are_in(text) for text in ("PARKED", "some 1.5 km", "a zoo")]
        [True, True, False]
        """
        lowered = text.lower()
        return any(pattern in lowered for pattern in self.texts) or contains_number(text, self.ranges)


def word_pattern(text: str) -> str:
    """Form in which whole words are compared: compatibility characters unified, case folded.

    >>> word_pattern("ＳＴＲＡẞＥ") == word_pattern("strasse")
    True
    """
    return unicodedata.normalize("NFKC", text).casefold()
