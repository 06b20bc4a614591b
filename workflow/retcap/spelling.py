"""The name that was probably meant, for error messages."""

import difflib
from collections.abc import Iterable

MEANT = {"gpu": "cuda"}  # words that are spelt like nothing that is meant


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is spelt most like this one, whatever its case; None where none is near.

    >>> nearest("BLEU", ["bleu", "bleu_coco"])
    'bleu'
    """
    lower = {word.lower(): word for word in known}
    text = str(name).strip().lower()
    if MEANT.get(text) in lower.values():
        return MEANT[text]
    found = difflib.get_close_matches(text, lower, n=1, cutoff=0.5)
    return lower[found[0]] if found else None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A blank and the question, or nothing.

    >>> did_you_mean("seeed", ["seed", "device"])
    ' Did you mean `seed`?'
    """
    found = nearest(name, known)
    return f" Did you mean `{found}`?" if found else ""
