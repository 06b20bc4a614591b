"""Training of prefix captioners (ClipCap)."""

from typing import Any

from gpu.cases import Case, Context, LeftOut


def cases() -> list[Case]:
    """One case, left out until the study is there."""
    return [Case("ClipCap training", clipcap)]


def clipcap(context: Context) -> dict[str, Any]:
    """Images per second of the training of a mapper and a language model."""
    raise LeftOut("the package has no prefix captioning yet")
