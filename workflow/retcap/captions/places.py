"""Which references of each pair are held out to be the human caption; `retcap.captions.held_out` says why."""

import hashlib
from collections.abc import Mapping, Sequence

import pandas as pd

Places = Mapping[str, Sequence[int]]  # item id -> which of its references is held out, per draw


def places(seed: int, item_id: str, count: int, draws: int) -> list[int]:
    """The place of the reference held out in each draw, of `count`: one after the other from a random start.

    The start depends on seed and item_id alone, so a pair has the same one in every subset of the data set. Over any
    `count` draws in a row each reference is held out once.

    >>> places(0, "a", count=3, draws=4)
    [0, 1, 2, 0]
    """
    start = order(seed, item_id) % count
    return [(start + draw) % count for draw in range(draws)]


def order(seed: int, text: str) -> int:
    """A random number that seed and text decide: the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{text}".encode()).digest()[:8], "big")


def of_human(captions: pd.DataFrame) -> dict[str, list[int]]:
    """The places that the captions of the human baseline name; pairs with a single reference have none."""
    named = zip(captions["item_id"], captions["held_out"], strict=True)
    return {item: list(held) for item, held in named if held is not None}
