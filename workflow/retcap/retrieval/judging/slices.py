"""Parts of a test set that are reported on their own: kind of answer, image of the gold passage, seen in training.

Where every passage is an entity of its own, seen passages are seen entities, and the slice stands there once.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

SEEN = {True: "seen", False: "unseen", None: "unknown"}
TRAINED = {"entity_seen": "entity in training", "gold_seen": "gold passage in training"}  # columns of the queries


def parts(queries: pa.Table, passages: pa.Table) -> dict[tuple[str, str], Bool[np.ndarray, " Q"]]:
    """Members of every part by (slice, value), in a fixed order. A slice with one value only is left out."""
    labels = {"answers": answer_form(queries), "gold image": gold_image(queries, passages)}
    for column, name in TRAINED.items():
        if column in queries.column_names:
            seen = [SEEN[value] for value in queries[column].to_pylist()]
            if seen not in labels.values():
                labels[name] = seen
    found = {}
    for name, values in labels.items():
        distinct = sorted(set(values))
        if len(distinct) > 1:
            found |= {(name, value): np.array([one == value for one in values]) for value in distinct}
    return found


def answer_form(queries: pa.Table) -> list[str]:
    """Text, number, both or none, by the usable answers of each query."""
    names = {(True, False): "text", (False, True): "number", (True, True): "text and number", (False, False): "none"}
    texts, ranges = queries["answers"].to_pylist(), queries["numeric"].to_pylist()
    return [
        names[any(text and text.strip() for text in some or ()), bool(numeric)]
        for some, numeric in zip(texts, ranges, strict=True)
    ]


def gold_image(queries: pa.Table, passages: pa.Table) -> list[str]:
    """Whether some gold passage in the corpus carries an image."""
    has_image: dict[str, bool] = {}
    images: Sequence[str | None] = (
        passages["image"].to_pylist() if "image" in passages.column_names else [None] * len(passages)
    )
    for name, image in zip(passages["passage_id"].to_pylist(), images, strict=True):
        has_image[name] = has_image.get(name, False) or bool(image)
    labels = []
    for positives in queries["positives"].to_pylist():
        known = [has_image[name] for name in positives or () if name in has_image]
        labels.append("not in the corpus" if not known else "with image" if any(known) else "without image")
    return labels
