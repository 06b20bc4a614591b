"""What experiments share below `results/data/`: generated worlds and downloads, one folder for each of their settings.

The configuration names such a folder by a placeholder at the beginning of a path, `<panorama_world>/test.csv`. Other
settings are another folder, so no experiment redraws or replaces what the results of another one came from.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from retcap.config.errors import Place, Problem
from retcap.config.model import Config
from retcap.config.parts import DATA_PATH, PLACEHOLDER, Section
from retcap.config.study import SharedFolder

FOLDER = "results/data"
LONGEST = 80  # characters of a folder's name; longer ones become a hash
Own = TypeVar("Own", bound=Section)


def folders(values: Mapping[str, Any]) -> dict[str, str]:
    """The folder of every placeholder, from the values of a whole configuration.

    `results/data/m2kr_world/seed-0`; for downloads repository and revision, `results/data/m2kr/owner/name/main`.
    """
    return {kind.PLACEHOLDER: _folder(kind, own) for kind, own in _shared(Config, values)}


def placeholders() -> list[str]:
    """All of them."""
    return list(folders(Config().model_dump()))


def named(settings: Mapping[str, Any]) -> str:
    """A folder's name that says the settings, or a hash where they do not fit into one.

    >>> named({"train_images": 2500, "seed": 0})
    'train_images-2500-seed-0'
    """
    text = "-".join(f"{name}-{value}" for name, value in settings.items())
    if len(text) <= LONGEST and all(isinstance(value, int) for value in settings.values()):
        return text
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]


def is_made(path: str, values: Mapping[str, Any], *, folder: bool = False) -> bool:
    """Whether a rule makes this file or folder, with the values of a whole configuration."""
    for kind, own in _shared(Config, values):
        home = _folder(kind, own)
        if path == home or path.startswith(f"{home}/"):
            return kind(**own).makes(path[len(home) + 1 :], folder=folder)
    return False


def placed(section: Own, found: Mapping[str, str] | None = None) -> Own:
    """A section with folders in the place of placeholders, in all keys that are paths; unknown ones stay.

    `found`: the folders, as those of the whole configuration where that is the section.
    """
    found = folders(section.model_dump()) if found is None else found
    update = {
        name: _placed(getattr(section, name), found, is_path=_has_paths(field))
        for name, field in type(section).model_fields.items()
    }
    return section.model_copy(update=update)


def unknown(section: Section, known: Mapping[str, str]) -> Iterator[Problem]:
    """Paths that begin with a placeholder that nothing has."""
    for place, path in _paths(section, (), is_path=False):
        start = re.match(PLACEHOLDER, path)
        if start and start[1] not in known:
            names = ", ".join(f"`<{name}>`" for name in known)
            yield Problem(place, f"{path!r} begins with an unknown placeholder. Known: {names}.")


def _shared(section: type[Section], values: Mapping[str, Any]) -> Iterator[tuple[type[SharedFolder], Mapping]]:
    """Sections that stand for a folder, with their values."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            if issubclass(kind, SharedFolder):
                yield kind, values[name]
            yield from _shared(kind, values[name])


def _folder(kind: type[SharedFolder], own: Mapping[str, Any]) -> str:
    return f"{FOLDER}/{kind.PLACEHOLDER}/{kind(**own).folder_name() or named(own)}"


def _has_paths(field: Any) -> bool:
    """Whether a field or an annotation holds paths of data at any depth."""
    if field is DATA_PATH:
        return True
    inner = (field.annotation, *field.metadata) if hasattr(field, "metadata") else get_args(field)
    return any(_has_paths(part) for part in inner)


def _placed(value: Any, found: Mapping[str, str], *, is_path: bool) -> Any:
    if isinstance(value, Section):
        return placed(value, found)
    if isinstance(value, dict):
        return {name: _placed(item, found, is_path=is_path) for name, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, found, is_path=is_path) for item in value]
    if is_path and isinstance(value, str) and (start := re.match(PLACEHOLDER, value)):
        return found.get(start[1], start[0]) + value[start.end() :]
    return value


def _paths(value: Any, place: Place, *, is_path: bool) -> Iterator[tuple[Place, str]]:
    """Every path of data with its place."""
    if isinstance(value, Section):
        for name, field in type(value).model_fields.items():
            yield from _paths(getattr(value, name), (*place, name), is_path=_has_paths(field))
    elif isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, (*place, name), is_path=is_path)
    elif is_path and isinstance(value, str):
        yield place, value
