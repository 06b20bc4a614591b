"""What differs between a job as it was run and as it would run now, in words: keys of the configuration and modules."""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from retcap.config.wording import shown
from retcap.reruns import digest
from retcap.reruns.params import digest_of

DIGESTS = {  # params whose values say nothing to a person, and what a change of them means
    "asked": "other (image, query) pairs or pictures to caption, or another way of reading them",
    "pictures": "other pictures of the caption CSV are there",
}


class Names:
    """What params are called in the configuration. `wildcards` of the job tell entries apart that have equal values."""

    def __init__(self, config: Mapping[str, Any], wildcards: Iterable[str] = ()):
        self.config = _as_json(config)
        self.wildcards = list(wildcards)

    def of(self, param: str, value: Any) -> str:
        """The key of the configuration that has the param's value now: a section that holds it, or one of its name."""
        value = _as_json(value)
        found = [
            name
            for name, own in _nodes(self.config, "")
            if (isinstance(value, dict) and value and isinstance(own, dict) and _within(value, own))
            or (own == value and type(own) is type(value) and f".{name}".endswith(f".{param}"))
        ]
        near = [name for name in found if any(f".{wildcard}" in name for wildcard in self.wildcards)]
        return (near or found)[0] if len(near or found) == 1 else param


def of_params(before: Mapping[str, Any], now: Mapping[str, Any], names: Names) -> Iterator[str]:
    """One line per key that changed, `learning_rate: 0.001 → 0.002`, named as in the configuration if it is there."""
    old, new = _as_json(before), _as_json(now)
    for param in sorted({*old, *new} - {"code"}):
        if param in DIGESTS:
            yield from [DIGESTS[param]] if old.get(param) != new.get(param) else []
            continue
        name = names.of(param, new[param]) if param in new else param
        if name == param and isinstance(old.get(param), dict) and isinstance(new.get(param), dict):
            yield from of_params(old[param], new[param], names)  # several sections in one param
            continue
        was, is_now = ({name: values[param]} if param in values else {} for values in (old, new))
        yield from _differences(dict(_flat(was, "")), dict(_flat(is_now, "")))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in old:
            yield f"{name}: {shown(new[name])} (new)"
        elif name not in new:
            yield f"{name}: {shown(old[name])} is gone"
        elif old[name] != new[name]:
            yield f"{name}: {shown(old[name])} → {shown(new[name])}"


def of_values(before: Iterable[str], now: Mapping[str, Any], names: Names) -> Iterator[str]:
    """The same where only the values are known that the params had (as Python writes them), but not their names.

    A value that is gone and one that is new are taken for the same param where they are the only ones of their type.
    """
    recorded = set(before)
    gone = [_literal(text) for text in sorted(recorded - {repr(value) for value in now.values()})]
    gone = [value for value in gone if not is_code(value)]
    changed = {name: value for name, value in now.items() if name != "code" and repr(value) not in recorded}
    for name, value in changed.items():
        alike = [old for old in gone if type(old) is type(value)]
        if len(alike) == 1 and sum(type(other) is type(value) for other in changed.values()) == 1:
            gone.remove(alike[0])
            yield from of_params({name: alike[0]}, {name: value}, names)
        else:
            yield f"{names.of(name, value)}: now {shown(value)}"
    yield from (f"before, a value was {shown(value)}" for value in gone)


def of_code(before: str | None, now: str | None, commit: str | None = None) -> Iterator[str]:
    """Which modules changed, came or went between two digests; `commit` is where the earlier one was checked out."""
    old, new = digest_of(before), digest_of(now)
    if old is None or new is None or old == new:
        return
    was, is_now = digest.covered(old), digest.covered(new)
    if was is None or is_now is None:
        yield f"code: changed from {old} to {new}; which modules was not recorded"
        return
    for name in sorted({*was, *is_now}):
        if was.get(name) != is_now.get(name):
            what = "is new" if name not in was else "is not used any more" if name not in is_now else "changed"
            since = f" (git diff {commit[:9]} -- {_path(name)})" if commit and what == "changed" else ""
            yield f"code: {_path(name)} {what}{since}"


def _path(name: str) -> str:
    """Where a file that a digest names lies in the checkout; scripts and templates are known by their name alone."""
    if "/" in name or (digest.PACKAGE / name).is_file():
        return f"workflow/retcap/{name}"
    found = sorted(digest.PACKAGE.parent.glob(f"*/{name}"))
    return str(found[0].relative_to(digest.PACKAGE.parents[1])) if found else name


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(dict(value) if isinstance(value, Mapping) else value, default=str))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of all leaves."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _nodes(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of all leaves and of all sections."""
    for name, value in values.items():
        yield f"{prefix}{name}", value
        if isinstance(value, dict):
            yield from _nodes(value, f"{prefix}{name}.")


def _within(part: dict, whole: dict) -> bool:
    return all(name in whole and whole[name] == value for name, value in part.items())


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def is_code(value: Any) -> bool:
    """Whether a value is what `retcap.reruns.params` makes of a rule's `code`."""
    return isinstance(value, str) and len(value) == 19 and value[12] == "-"
