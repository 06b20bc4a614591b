"""The pairs that a model failed on, of those that have a picture: one that is not there is no fault of the model.

Captions that were made elsewhere needed no picture here, so all pairs count for them.
"""

import json
from typing import NamedTuple

import pandas as pd


class FailedPairs(NamedTuple):
    """How many pairs failed and why."""

    failed: int
    of: int  # pairs that could have been captioned
    first: str | None  # reason of the first
    same: str  # the pairs and their reasons: equal when the same pairs fail again in the same way

    @property
    def share(self) -> float:
        """Fraction of the pairs that could have been captioned."""
        return self.failed / max(1, self.of)


def count(items: pd.DataFrame, captions: pd.DataFrame, *, without_picture: bool = False) -> FailedPairs:
    """Of pairs.parquet and captions.parquet, which are matched by item_id; the captions may be those of some items."""
    possible = set(items["item_id"] if without_picture else items["item_id"][items["image_key"].notna()])
    possible &= set(captions["item_id"])
    lost = captions[(captions["status"] == "failed") & captions["item_id"].isin(list(possible))]
    reasons = [reason if isinstance(reason, str) else "no reason recorded" for reason in lost["reason"]]
    same = json.dumps(sorted(zip(lost["item_id"], reasons, strict=True)))
    return FailedPairs(len(lost), len(possible), reasons[0] if reasons else None, same)


def problem(found: FailedPairs, max_share: float) -> str | None:
    """Why the model is not scored; None where few enough pairs failed."""
    if found.share <= max_share:
        return None
    return (
        f"{found.failed} of {found.of} pairs failed, more than captioning.max_failed_share ({max_share:g}) allows; "
        f"the first: {found.first}"
    )
