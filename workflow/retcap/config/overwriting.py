"""Whether a run would replace the results of another configuration, because neither of them was given a name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

LOOKS = ("device", "report", "on_top_of")  # of these no result depends
SHOWN = 4  # keys


def warning(values: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """What would be replaced, if the configuration beside the results is another one and none was named.

    `values` is the resolved configuration, `given` what overlays and the command line set.
    """
    folder = Path("results") / values["experiment"]
    if "experiment" in given:
        return None
    differing = sorted(_differing(recorded(folder / "config.yaml"), values))
    if not differing:
        return None
    keys = ", ".join(differing[:SHOWN]) + (f" and {len(differing) - SHOWN} more" if differing[SHOWN:] else "")
    return (
        f"warning: {folder} holds results of another configuration ({keys}), and this run "
        "replaces them. To keep both, name this one: `experiment: …` in the overlay, or --config experiment=…"
    )


def recorded(file: Path) -> dict[str, Any]:
    """The configuration that was written beside results; empty where there is none."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of both whose values differ, and keys of entries that one of them lacks.

    A section's key that is in one alone came or went with a version of this program, and is no difference.
    """
    own_names = f".{prefix}".endswith((".datasets.", ".retrievers.", ".backbones.", ".options.", ".cell."))
    for name in sorted({*old, *new}):
        if prefix == "" and name in LOOKS:
            continue
        if name not in old or name not in new:
            if own_names:
                yield f"{prefix}{name}"
        elif isinstance(old[name], Mapping) and isinstance(new[name], Mapping):
            yield from _differing(old[name], new[name], f"{prefix}{name}.")
        elif old[name] != new[name]:
            yield f"{prefix}{name}"
