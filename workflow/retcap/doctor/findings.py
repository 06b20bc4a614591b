"""What the doctor found: good, worth a note, or bad, with what to do about it."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

SHAPES_RESULTS = False  # see retcap.reruns.digest
WIDTH = 118
MARKS = {"good": "✓", "note": "!", "bad": "✗"}


class Finding(NamedTuple):
    """One look. A note is something to know, after a bad one the run will fail or lack a result."""

    level: Literal["good", "note", "bad"]
    text: str
    remedy: str = ""


def good(text: str) -> Finding:
    """All is well."""
    return Finding("good", text)


def note(text: str, remedy: str = "") -> Finding:
    """The run works, but not as well as it could, or not as somebody might expect."""
    return Finding("note", text, remedy)


def bad(text: str, remedy: str) -> Finding:
    """The run will fail, or lack a result."""
    return Finding("bad", text, remedy)


def told(title: str, findings: Iterable[Finding]) -> Iterator[str]:
    """A title and one paragraph per finding, each with its mark; the remedy stands below."""
    yield title
    for finding in findings:
        yield from _paragraph(f"{MARKS[finding.level]} {finding.text}", indent=2)
        if finding.remedy:
            yield from _paragraph(f"→ {finding.remedy}", indent=4)


def _paragraph(text: str, indent: int) -> list[str]:
    blanks = " " * indent
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=blanks,
        subsequent_indent=f"{blanks}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
