"""Answers of one query as M2KR writes them: a string, a list, numbers as dicts, or nothing at all.

    "Nationals Park"                                   OVEN
    ["5 to 15 metres", "5 to 15 metres ", ...]         E-VQA: repeated, with trailing blanks
    ["8 km", {"wikidata": 8.0, "range": [7.6, 8.4]}]   InfoSeek: the range decides (infoseek_eval.py), else the value

>>> parse_answers("Nationals Park").texts
['Nationals Park']
>>> parse_answers([" zoo", "zoo ", "", {"wikidata": 2.0}, {}])
Answers(texts=['zoo'], ranges=[(2.0, 2.0)], kind='list', unusable=2)
"""

import math
from typing import Any, NamedTuple, TypeGuard

RawAnswer = str | int | float | dict[str, Any] | list[str | int | float | dict[str, Any] | None] | None


class Answers(NamedTuple):
    """Usable answers: distinct stripped texts in file order, and closed numeric ranges (low, high)."""

    texts: list[str]
    ranges: list[tuple[float, float]]
    kind: str  # "null", "string", "number", "dict", "list": the form in the file
    unusable: int  # blank texts, nulls, and dicts without a number


KINDS = {type(None): "null", str: "string", int: "number", float: "number", dict: "dict", list: "list"}


def parse_answers(raw: RawAnswer) -> Answers:
    """Answers in any of the forms above. Repeats and surrounding blanks are dropped: they change no metric."""
    kind = KINDS[type(raw)]
    texts: dict[str, None] = {}
    ranges: list[tuple[float, float]] = []
    unusable = 0
    for answer in raw if isinstance(raw, list) else () if raw is None else (raw,):
        usable = answer if isinstance(answer, str) else _from_number(answer)
        if isinstance(usable, tuple):
            ranges.append(usable)
        elif usable is not None and (text := usable.strip()):
            texts[text] = None
        else:
            unusable += 1
    return Answers(list(texts), ranges, kind, unusable)


def _from_number(answer: float | dict[str, Any] | None) -> tuple[float, float] | str | None:
    if isinstance(answer, dict):
        return _from_dict(answer)
    return None if answer is None else (float(answer), float(answer))


def _from_dict(answer: dict[str, Any]) -> tuple[float, float] | str | None:
    """The range of a numeric answer, else its value as a range of one point, else a text under `wikidata`."""
    bounds, value = answer.get("range"), answer.get("wikidata")
    if isinstance(bounds, list) and len(bounds) == 2 and all(map(_is_number, bounds)):
        return float(min(bounds)), float(max(bounds))
    if _is_number(value):
        return float(value), float(value)
    return value if isinstance(value, str) else None


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)  # bool is an int to isinstance
