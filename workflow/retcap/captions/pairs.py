"""What is judged: captions beside the references of their pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from retcap.captions.clean import CLEANER_VERSION
from retcap.captions.files import STATUSES, check_same_items


@dataclass(frozen=True)
class Pairs:
    """What is judged, in the order of the items. Excluded pairs and pairs without any reference are left out."""

    item_ids: list[str]
    images: list[str]
    cleaned: list[str]
    raw: list[str]
    references: list[list[str]]
    statuses: list[str]
    excluded: int = 0
    cleaner: str = "no"  # version of the cleaning; "no" where `cleaned` is the raw text


def align(items: pd.DataFrame, captions: pd.DataFrame) -> Pairs:
    """Match captions to items by id. Ids must agree exactly; nothing is dropped silently."""
    for column, where in ((items["item_id"], "items"), (captions["item_id"], "captions")):
        if column.duplicated().any():
            raise ValueError(f"The {where} hold item_id {next(iter(column[column.duplicated()]))!r} more than once.")
    check_same_items(Path("captions to score"), set(items["item_id"]), set(captions["item_id"]))
    rows = captions.set_index("item_id").loc[items["item_id"]]
    raw = [_text(text) for text in rows["raw"]]
    cleaned = [_text(text) for text in rows["cleaned"]] if "cleaned" in rows else list(raw)
    references = [_references(texts) for texts in items["references"]]
    statuses = [_status(*row) for row in zip(items["item_id"], rows["status"], raw, cleaned, strict=True)]
    keep = [i for i, texts in enumerate(references) if texts and statuses[i] != "excluded"]
    images = items["image_key"].where(items["image_key"].notna(), items["image"]).tolist()
    return Pairs(
        item_ids=[items["item_id"].iloc[i] for i in keep],
        images=[images[i] for i in keep],
        cleaned=[cleaned[i] if statuses[i] == "ok" else "" for i in keep],
        raw=[raw[i] if statuses[i] in ("ok", "cleaned_to_empty") else "" for i in keep],
        references=[references[i] for i in keep],
        statuses=[statuses[i] for i in keep],
        excluded=len(references) - len(keep),
        cleaner=CLEANER_VERSION if "cleaned" in rows else "no",
    )


def _status(item_id: str, status: str, raw: str, cleaned: str) -> str:
    if status not in STATUSES:
        raise ValueError(f"Item {item_id!r} has status {status!r}. Known: {', '.join(STATUSES)}.")
    if status == "ok" and not cleaned.strip():
        return "cleaned_to_empty" if raw.strip() else "empty"
    return status


def _text(text: object) -> str:
    return text if isinstance(text, str) else ""  # null, NaN


def _references(texts: Sequence[object]) -> list[str]:
    return [text for text in texts if isinstance(text, str) and text.strip()]
