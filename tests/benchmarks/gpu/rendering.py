"""RESULTS.md from the measurements: a table per part and machine, the newest measurement of each case."""

from pathlib import Path
from typing import Any

from gpu import cases
from gpu.command import PARTS
from retcap.files.whole import replacing

NAME = "RESULTS.md"
NOTHING = "No GPU has been measured yet: no number of this project comes from one.\n"


def write(out: Path) -> None:
    """Write RESULTS.md beside the measurements, whole."""
    with replacing(out / NAME) as partial:
        partial.write_text(text(out), encoding="utf-8")


def text(out: Path) -> str:
    """The page of the measurements of a folder."""
    records = cases.read(out)
    lines = ["# What was measured on GPUs\n", "Written by `python tests/benchmarks/gpu render`. Measured only.\n"]
    measured = [record for record in records if not record["dry"]]
    if not measured:
        lines.append(NOTHING)
    for title, chosen in (("", measured), ("Dry mode: ", [record for record in records if record["dry"]])):
        for machine in dict.fromkeys(_machine(record) for record in chosen):
            lines.append(f"## {title}{machine}\n")
            if title:
                lines.append("Toy sizes on a CPU: these prove the suite and say nothing of any speed.\n")
            lines += _parts([record for record in chosen if _machine(record) == machine])
    return "\n".join(lines)


def _machine(record: dict[str, Any]) -> str:
    about = record["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    memory = f", {about['memory_gib']} GiB" if "memory_gib" in about else ""
    driver = f", driver {about['driver']}" if about.get("driver") else ""
    changed = " with changes" if about.get("changed") else ""
    cuda = f", CUDA {about['cuda']}" if about.get("cuda") else ""
    return (
        f"{about['device']}{memory}, {about['cores']} CPU cores{driver}{cuda}; Python {about['python']}, {versions}; "
        f"commit {about['commit'][:12]}{changed}"
    )


def _parts(records: list[dict[str, Any]]) -> list[str]:
    newest = {(record["part"], record["case"]): record for record in records}
    lines = []
    for part, words in PARTS.items():
        chosen = [record for (own, _), record in newest.items() if own == part]
        if chosen:
            dates = sorted({record["about"]["date"] for record in chosen})
            lines += [f"### {part.capitalize()}\n", f"{words}. {', '.join(dates)}.\n", *_tables(chosen)]
    return lines


def _tables(records: list[dict[str, Any]]) -> list[str]:
    """One table per set of columns, in the order of the first case with them, and a list of what has no values."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in records:
        if record["status"] == "ok":
            groups.setdefault(tuple(record["values"]), []).append(record)
    lines = []
    for columns, rows in groups.items():
        lines.append("| case | " + " | ".join(columns) + " |")
        lines.append("|---|" + "---|" * len(columns))
        lines += [
            f"| {row['case']} | " + " | ".join(_cell(row["values"][name]) for name in columns) + " |" for row in rows
        ]
        lines.append("")
    without = [
        f"- {record['case']}: {record['status']}: {record['reason']}" for record in records if record["status"] != "ok"
    ]
    return [*lines, *without, *([""] if without else [])]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value).replace("|", "/")
