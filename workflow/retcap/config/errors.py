"""Turns configuration errors into sentences: the place (file and line), the key, what is wrong, the remedy."""

import difflib
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

Problem = tuple[tuple[str | int, ...], str]


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
        while place and not _holds(raw, place) and _holds(raw, place[:1]):
            place = place[:-1]
        message = _message(one, model)
        if place != whole and found and found[-1][0] == place:  # the next type that was tried for the same value
            message = f"{found.pop()[1].partition('. Got ')[0]}, or {message}"
        found.append((place, message))
    return found


def explain(problems: Iterable[Problem], files: Iterable[str | Path], overrides: dict) -> list[str]:
    """One line per problem: `file:line: section.key: what is wrong. Remedy.`"""
    files = list(files)
    return [f"{_place(path, files, overrides)}: {_dotted(path)}: {message}" for path, message in problems]


def _message(error: Any, model: type[BaseModel]) -> str:
    location, value = error["loc"], error["input"]
    if error["type"] == "extra_forbidden":
        known = _keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(known)}."
        return f"unknown key. {hint} All keys: config/README.md."
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "literal_error":
        expected = error["ctx"]["expected"]
        words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
        near = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        return f"must be {expected}. Got {value!r} instead.{hint}"
    text = error["msg"]
    return f"{text[0].lower()}{text[1:]}. Got {value!r} instead."


def _keys(model: Any, path: tuple[str | int, ...]) -> list[str]:
    """Keys that are allowed at a place, found by walking the annotations."""
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation
        else:
            arguments = get_args(model)
            model = arguments[-1] if arguments else model
        if get_origin(model) in (Union, types.UnionType):
            model = next(option for option in get_args(model) if option is not type(None))
    return sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "(top level)"


def _place(path: tuple[str | int, ...], files: list[str | Path], overrides: dict) -> str:
    """Where a key was set; where it was not, the innermost part around it that was."""
    for end in range(len(path), 0, -1):
        if _holds(overrides, path[:end]):
            return "command line (--config)"
        for file in reversed(files):
            line = _line(Path(file), path[:end])
            if line is not None:
                return f"{file}:{line}"
    return "configuration"


def _holds(values: Any, path: tuple[str | int, ...]) -> bool:
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _line(file: Path, path: tuple[str | int, ...]) -> int | None:
    """Line of a key in a YAML file, or None when the file does not hold it."""
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, yaml.YAMLError):
        return None
    line = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                return None
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return None
    return line
