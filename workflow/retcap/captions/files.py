"""The files that pass between the stages of the captioning study, each written beside its place and renamed into it.

    pairs.parquet       one row per (image, query): what is captioned and scored, and all its references
    requests.parquet    the same rows as a captioner gets them: no reference, no file name, in the order of the ids
    rows.parquet        one row per row of the input CSV that could be read, and the item it belongs to
    captions.parquet    one row per item: what one system (a model or a baseline) said
    predictions.csv     one row per row of the input CSV: the table for people

Frames hold Python lists and None (object columns), so that a missing text is None in every pandas version.
"""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from retcap.files.whole import replacing

TEXT, TEXTS = pa.string(), pa.list_(pa.string())
ITEMS = pa.schema(
    [
        ("item_id", TEXT),  # 16 hex digits of SHA-1 over image + NUL + query
        ("image", TEXT),  # as in the CSV
        ("image_key", TEXT),  # SHA-256 of the file's bytes; null where the image is missing and not required
        ("query", TEXT),
        ("references", TEXTS),
        ("rows", pa.list_(pa.int64())),  # CSV lines of the pair, file after file, also those without annotation
    ]
)
REQUESTS = pa.schema([("item_id", TEXT), ("query", TEXT), ("image_key", TEXT)])
ROWS = pa.schema(
    [
        ("csv", TEXT),  # name of the file
        ("line", pa.int64()),
        ("image", TEXT),
        ("query", TEXT),
        ("reference", TEXT),
        ("item_id", TEXT),
        ("beyond_limit", pa.bool_()),  # of a pair that `captioning.limit` leaves out
    ]
)
CAPTIONS = pa.schema(
    [
        ("item_id", TEXT),
        ("raw", TEXT),  # what the system said, never altered
        ("status", TEXT),
        ("reason", TEXT),
        ("seconds", pa.float64()),
        ("tokens", pa.int64()),
        ("held_out", pa.list_(pa.int64())),  # only the human baseline: place of the reference that it says, per draw
        ("prompt", TEXT),
        ("image_key", TEXT),  # the picture that a captioner was shown; null for a baseline
    ]
)
CLEANED = CAPTIONS.append(pa.field("cleaned", TEXT))
# ok, failed and empty come from a captioner, cleaned_to_empty from the cleaner; all four stay in every denominator.
# `excluded`: the system cannot be asked about this item (human baseline, single reference); left out and counted.
STATUSES = ("ok", "failed", "empty", "cleaned_to_empty", "excluded")
LINE_BREAKS = re.compile("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")  # everything str.splitlines breaks at
PREDICTIONS = ("image_path", "instruction", "reference", "prediction", "prediction_raw", "status")


def write_items(path: Path, items: pd.DataFrame | list[dict]) -> None:
    """Write pairs.parquet. ValueError on a repeated item_id."""
    _write(path, items, ITEMS, unique=True)


def read_items(path: str | Path) -> pd.DataFrame:
    """Read pairs.parquet."""
    return _read(path, ITEMS)


def write_requests(path: Path, items: pd.DataFrame | list[dict]) -> None:
    """Write requests.parquet: equal bytes as long as the same pictures are asked about in the same way."""
    _write(path, pd.DataFrame(items).sort_values("item_id"), REQUESTS, unique=True)


def read_requests(path: str | Path) -> pd.DataFrame:
    """Read requests.parquet."""
    return _read(path, REQUESTS)


def write_rows(path: Path, rows: pd.DataFrame | list[dict]) -> None:
    """Write rows.parquet: the reference is null where the cell was empty, item_id where the row belongs to no item."""
    _write(path, rows, ROWS, defaults={"beyond_limit": False})


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read rows.parquet."""
    return _read(path, ROWS)


def write_captions(path: Path, captions: pd.DataFrame | list[dict]) -> None:
    """Write captions.parquet, with the column `cleaned` if it is there. Columns that may be null may be left out."""
    captions = pd.DataFrame(captions)
    schema = CLEANED if "cleaned" in captions else CAPTIONS
    unknown = sorted(set(captions["status"]) - set(STATUSES)) if len(captions) else []
    if unknown:
        raise ValueError(f"{path}: status {unknown[0]!r} is unknown. Known: {', '.join(STATUSES)}.")
    _write(path, captions, schema, unique=True, defaults={"seconds": 0.0, "tokens": 0, "prompt": ""})


def read_captions(path: str | Path) -> pd.DataFrame:
    """Read captions.parquet; the column `cleaned` is there if it was written."""
    return _read(path, CLEANED, optional=("cleaned",))


def _write(path: Path, data: Any, schema: pa.Schema, *, unique: bool = False, defaults: dict | None = None) -> None:
    data = pd.DataFrame(data)
    if unique and len(data) and (twice := data["item_id"].duplicated()).any():
        raise ValueError(f"{path}: item_id {next(iter(data['item_id'][twice]))} occurs twice.")
    columns = []
    for field in schema:
        default = (defaults or {}).get(field.name)
        values = list(data[field.name]) if field.name in data else [None] * len(data)
        columns.append(pa.array([default if _is_null(value) else value for value in values], field.type))
    with replacing(path) as partial:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), partial, compression="zstd")


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or value is pd.NA


def _read(path: str | Path, schema: pa.Schema, optional: tuple[str, ...] = ()) -> pd.DataFrame:
    table = pq.read_table(path)
    missing = [name for name in schema.names if name not in table.column_names and name not in optional]
    if missing:
        raise ValueError(f"{path} has no column `{missing[0]}`. Columns found: {', '.join(table.column_names)}.")
    return frame(table.to_pylist(), table.schema)


def frame(records: list[dict], schema: pa.Schema = CAPTIONS) -> pd.DataFrame:
    """Records as a frame: numbers as numbers, everything else as objects, so that a missing text stays None."""
    columns = {}
    for field in schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        values = [record.get(field.name) for record in records]
        columns[field.name] = pd.Series(values, dtype=field.type.to_pandas_dtype() if number else object)
    return pd.DataFrame(columns)


def write_predictions(path: Path, rows: pd.DataFrame, captions: pd.DataFrame) -> None:
    """Write the `<model>_predictions.csv`: one line per row of the input CSV, the caption of its pair repeated.

    A row whose pair was quarantined has an empty prediction and the status `quarantined`, one that
    `captioning.limit` leaves out the status `beyond_limit`. Line breaks inside a cell
    become blanks here, so that every record is one line for simple tools; the Parquet file keeps them.
    """
    check_same_items(path, set(rows["item_id"]) - {None}, set(captions["item_id"]))
    said = captions.set_index("item_id")
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PREDICTIONS)
        for row in rows.to_dict("records"):
            if row["item_id"] is None:
                answer = ("", "", "beyond_limit" if row["beyond_limit"] else "quarantined")
            else:
                caption = said.loc[row["item_id"]]
                answer = (caption.get("cleaned", caption["raw"]), caption["raw"], caption["status"])
            cells = (row["image"], row["query"], row["reference"], *answer)
            writer.writerow([LINE_BREAKS.sub(" ", cell or "") for cell in cells])


def check_same_items(path: Path, wanted: set[str], found: set[str]) -> None:
    """ValueError naming the first missing and the first extra item, if the two sets of ids differ."""
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    if missing or extra:
        raise ValueError(
            f"{path}: captions and items do not belong together: {len(missing)} items have no caption (first: "
            f"{missing[:1]}), {len(extra)} captions have no item (first: {extra[:1]}). Caption this items file again."
        )


def check_same_pictures(requests: pd.DataFrame, captions: pd.DataFrame) -> None:
    """ValueError where captions were made from other pictures than those that lie there now under the same name."""
    now = dict(zip(requests["item_id"], requests["image_key"], strict=True))
    shown = [
        (item, key) for item, key in zip(captions["item_id"], captions["image_key"], strict=True) if key is not None
    ]
    other = [item for item, key in shown if now.get(item) != key]
    if other:
        raise ValueError(
            f"{len(other)} of {len(captions)} captions were made from pictures that have changed since (first item: "
            f"{other[0]}). Caption these again: `snakemake --forcerun caption`."
        )


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON; NaN is an error, because other readers refuse it."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
