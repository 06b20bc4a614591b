"""What of a text can be seen: blanks collapsed, texts without a visible character told apart. Light: plugins import it.

Zero-width characters and the byte order mark count as blanks; `str.strip` leaves them, and a caption that holds nothing
else would become an empty reference.
"""

import re
import unicodedata

BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b\u2060\ufeff]+")
FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that are drawn as nothing


def collapse(text: str) -> str:
    """Runs of whitespace, control and zero-width characters as one blank, ends trimmed."""
    return BLANKS.sub(" ", text).strip()


def is_blank(text: str) -> bool:
    """Whether a text has no letter, number, punctuation mark or symbol (Unicode categories L, N, P, S).

    >>> is_blank(" \\u200b\\u200d"), is_blank("...")
    (True, False)
    """
    return not any(unicodedata.category(sign)[0] in "LNPS" and sign not in FILLERS for sign in text)
