"""Every record of a caption CSV, once: as a row with a caption, or in the quarantine with its reason."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from retcap.records import Rejected

log = logging.getLogger(__name__)

WARN_REJECTED = 0.01  # share of records set aside above which a person is warned, as for retrieval data
SHOWN = 500  # characters of a rejected record kept


@dataclass(frozen=True)
class Reading:
    """What one file holds. `records` = rows with a caption + `rejected`."""

    csv: Path
    rows: list[Any]  # the plugin's Row, in file order, also those without a caption: they still name a pair
    rejected: list[Rejected]
    records: int

    def captions(self) -> list[tuple[str, str]]:
        """(query, caption) of every row that has a caption."""
        return [(row.query, row.caption) for row in self.rows if row.caption is not None]

    def facts(self) -> dict[str, Any]:
        """Name of the file, its records, how many were used, and how many not for which reason."""
        reasons = counts(record.reason for record in self.rejected)
        used = self.records - len(self.rejected)
        return {"csv": self.csv.name, "rows": self.records, "rows_used": used, "quarantined": reasons}


def paths(given: str | Path | Sequence[str | Path]) -> list[Path]:
    """One path or several, as the configuration and Snakemake give them, as a list."""
    return [Path(given)] if isinstance(given, str | Path) else [Path(one) for one in given]


def read(plugin: ModuleType, csv: Path, columns: Mapping[str, str] | None = None) -> Reading:
    """Read a file with a data set plugin. `columns` maps image, query, annotation to column names.

    ValueError where no record has an image, a query and a caption.
    """
    rows, rejected, records = [], [], 0
    for record in plugin.rows(csv, **(columns or {})):
        records += 1
        if isinstance(record, Rejected):
            rejected.append(record)
            continue
        rows.append(record)
        if record.caption is None:
            rejected.append(reject(csv, record, "empty_annotation", f"the cell holds {record.annotation[:SHOWN]!r}"))
    assert records == sum(row.caption is not None for row in rows) + len(rejected)
    if len(rejected) == records:
        raise ValueError(f"{csv}: none of its {records} rows can be used: {counts(one.reason for one in rejected)}.")
    return Reading(Path(csv), rows, rejected, records)


def training(plugin: ModuleType, csv: str | Path | Sequence[str | Path], columns: Mapping[str, str]) -> Reading:
    """Read a file, or several as one, for their captions alone; pictures are not looked at."""
    found = [read(plugin, path, columns) for path in paths(csv)]
    for one in found:
        warn(one.csv, one.rejected, one.records, "blind_quarantine.jsonl")
    return Reading(
        Path(", ".join(one.csv.name for one in found)),
        [row for one in found for row in one.rows],
        [record for one in found for record in one.rejected],
        sum(one.records for one in found),
    )


def reject(csv: Path, row: Any, reason: str, detail: str) -> Rejected:
    """The quarantine record of a row."""
    return Rejected(str(csv), row.line, reason, detail, f"{row.url},{row.query},{row.annotation}"[:SHOWN])


def counts(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason occurs, by name."""
    return dict(sorted(Counter(reasons).items()))


def warn(csv: object, rejected: Sequence[Rejected], records: int, where: str) -> None:
    """Warn where more than a hundredth of the records was set aside; `where` says where they stand."""
    if len(rejected) > WARN_REJECTED * records:
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts(one.reason for one in rejected).items())
        share = f"{len(rejected)} of {records} rows set aside ({len(rejected) / records:.1%})"
        log.warning("%s: %s: %s; see %s", csv, share, reasons, where)
