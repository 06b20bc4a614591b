"""Turns configuration errors into sentences: the place (file and line), the key, what is wrong, the remedy."""

import datetime
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from retcap import spelling
from retcap.config import reading
from retcap.config.wording import shown

Place = tuple[str | int, ...]
COMMAND_LINE = "command line (--config)"
MOVED: dict[Place, str] = {
    ("retrieval", "backbones"): "`backbones` at the top level, beside `retrieval`: studies share them",
    ("retrieval", "pack", "side_px"): "`side_px` of the entries of `backbones` whose checkpoint is no folder, and of "
    "`retrieval.tiny_clip` for the demo's own: every backbone gets pictures of its own side",
}


class Problem(NamedTuple):
    """What is wrong at a place. `reads` are further places it was judged by: where one is wrong itself, it is void."""

    place: Place
    message: str
    reads: tuple[Place, ...] = ()

    def is_void(self, broken: list[Place]) -> bool:
        """Whether it only follows from keys that are reported already."""
        near = any(_starts(self.place, place) or _starts(place, self.place) for place in broken)
        return near or any(_starts(read, place) for read in self.reads for place in broken)


class ConfigError(ValueError):
    """All that is wrong with the configuration, one problem a line."""

    def __init__(self, problems: list[str]):
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        super().__init__("\n".join([f"The configuration has {count}:", *(f"  {problem}" for problem in problems)]))


def describe(error: ValidationError, model: type[BaseModel], raw: Any) -> list[Problem]:
    """Places and messages of what pydantic found; a place ends at what the values hold, not at a type tried there."""
    found: list[Problem] = []
    for one in error.errors():
        whole = place = tuple(part for part in one["loc"] if part != "[key]")
        if one["type"] == "invalid_key":
            found.append(Problem((*place[:-1], shown(one["input"])), _message(one, model)))
            continue
        while place and not _holds(raw, place) and _holds(raw, place[:1]):
            place = place[:-1]
        message = _message(one, model)
        if place != whole and found and found[-1].place == place:  # the next type that was tried for the same value
            before = found.pop().message
            if not one["type"].endswith("_type"):
                before = ""  # this is the type that was meant
            message = f"{before.partition('. Got ')[0]}, or {message}" if before else message
        found.append(Problem(place, message))
    return found


def explain(problems: Iterable[Problem], files: Sequence[str | Path], overrides: dict) -> list[str]:
    """One line per problem, in the order of files and lines: `file:line: section.key: what is wrong. Remedy.`"""
    found = [(_origin(problem, files, overrides), problem) for problem in problems]
    found.sort(key=lambda entry: entry[0])
    return [f"{_where(origin, files)}: {_dotted(one.place)}: {one.message}" for origin, one in found]


def faults(files: Iterable[str | Path], arguments: Iterable[str] = ()) -> list[str]:
    """One line per fault of the files and of the command line themselves: broken ones, and keys that stand twice."""
    found = [
        f"{file}{'' if fault.line is None else f':{fault.line}'}: {fault.text}"
        for file in files
        for fault in reading.faults(file)
    ]
    return found + [f"{COMMAND_LINE}: {fault.text}" for fault in reading.argument_faults(arguments)]


def _message(error: Any, model: type[BaseModel]) -> str:
    location, value, kind = error["loc"], error["input"], error["type"]
    if kind == "extra_forbidden" and location in MOVED:
        return f"is now {MOVED[location]}. Move the key there as it is."
    if kind == "extra_forbidden":
        known = _keys(model, location[:-1])
        hint = spelling.did_you_mean(location[-1], known) or f" Known here: {', '.join(known)}."
        return f"unknown key.{hint} All keys: config/README.md."
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "literal_error":
        expected = error["ctx"]["expected"]
        words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
        return f"must be {expected}. Got {shown(value)} instead.{spelling.did_you_mean(value, words)}"
    text = f"{error['msg'][0].lower()}{error['msg'][1:]}. Got {shown(value)} instead."
    if kind == "string_type" and isinstance(value, int | float | datetime.date) and not isinstance(value, bool):
        return f"{text} A text of digits needs quotation marks, and a letter on the command line."
    if kind == "too_short":
        return f"list should have at least {error['ctx']['min_length']} item. Got {shown(value)} instead."
    if kind == "list_type":
        return (
            f"must be a list, such as [{value if isinstance(value, str | int) else '…'}]. Got {shown(value)} instead."
        )
    if kind in ("bool_type", "bool_parsing"):
        return f"must be true or false. Got {shown(value)} instead."
    if kind in ("model_type", "dict_type"):
        return f"must hold keys. Got {shown(value)} instead."
    if kind == "invalid_key":
        return f"the key {shown(value)} is no word for YAML. Put it in quotation marks."
    if kind == "less_than_equal" and (reason := _limit(model, location)):
        return f"must be at most {int(error['ctx']['le']):,}: {reason}. Got {shown(value)} instead."
    return text


def _limit(model: Any, path: Place) -> str:
    """Why a number has an upper bound, as its field says."""
    for end in range(len(path), 0, -1):
        field = _field(model, path[:end])
        if field is not None and isinstance(field.json_schema_extra, dict) and "limit" in field.json_schema_extra:
            return str(field.json_schema_extra["limit"])
    return ""


def _keys(model: Any, path: Place) -> list[str]:
    """Keys that are allowed at a place."""
    found = _model(model, path)
    return sorted(found.model_fields) if found is not None else []


def _field(model: Any, path: Place) -> FieldInfo | None:
    above = _model(model, path[:-1])
    return above.model_fields.get(str(path[-1])) if above is not None else None


def _model(model: Any, path: Place) -> type[BaseModel] | None:
    """The section at a place, found by walking the annotations."""
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            if str(part) not in model.model_fields:
                return None
            model = model.model_fields[str(part)].annotation
        else:
            arguments = get_args(model)
            model = arguments[-1] if arguments else model
        if get_origin(model) in (Union, types.UnionType):
            model = next(option for option in get_args(model) if option is not type(None))
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _dotted(path: Place) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return shown_key("".join(parts).lstrip(".")) or "(top level)"


def shown_key(text: str) -> str:
    """A dotted key in one line of a terminal, at most 200 characters."""
    clean = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return clean if len(clean) <= 200 else f"{clean[:199]}…"


def _origin(problem: Problem, files: Sequence[str | Path], overrides: dict) -> tuple[int, int]:
    """Number of the file and line to blame; the command line counts as the last file, (-1, 0) is nowhere.

    Where the first file, the defaults, has the key and nothing after it, a key that the problem was judged by and that
    was set later is to blame: the defaults were right before it changed.
    """
    for end in range(len(problem.place), 0, -1):
        origin = _set_at(problem.place[:end], files, overrides)
        if origin is None:
            continue
        changed = [_set_at(read, files, overrides) for read in problem.reads] if origin[0] == 0 else []
        return next((other for other in changed if other is not None and other[0] > 0), origin)
    return (-1, 0)


def _set_at(place: Place, files: Sequence[str | Path], overrides: dict) -> tuple[int, int] | None:
    """Where a key was set last."""
    if _holds(overrides, place):
        return (len(files), 0)
    for number in reversed(range(len(files))):
        line = reading.line(files[number], place)
        if line is not None:
            return (number, line)
    return None


def _where(origin: tuple[int, int], files: Sequence[str | Path]) -> str:
    number, line = origin
    if number < 0:
        return "configuration"
    return COMMAND_LINE if number == len(files) else f"{files[number]}:{line}"


def _starts(place: Place, beginning: Place) -> bool:
    return place[: len(beginning)] == beginning


def _holds(values: Any, path: Place) -> bool:
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
