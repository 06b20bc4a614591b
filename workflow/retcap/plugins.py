"""Finds plugins by file name: `names(kind)`, `path(kind, name)`, `load(kind, name)`, `check(kind, name)`.

The file name is the registry key: there is no list to edit. Names such as `qwen2.5-vl-3b` are no Python identifiers, so
plugins are loaded by path. Importing this module imports nothing heavy, and neither may a plugin at its top level.
"""

import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from retcap import spelling
from retcap.records import BackboneCard, CaptionerCard, DatasetCard, MetricCard

PACKAGE = Path(__file__).parent
CARDS = {"backbones": BackboneCard, "captioners": CaptionerCard, "datasets": DatasetCard, "metrics": MetricCard}
KINDS = tuple(CARDS)


class UnknownPlugin(ValueError):
    """A plugin name that no file carries; the message lists the known ones and the nearest."""


class BrokenPlugin(ValueError):
    """A plugin file that cannot be read, or whose card is not what its kind needs; the message names file and line."""


def names(kind: str, task: str | None = None) -> list[str]:
    """Sorted names of all plugins of one kind, or of those whose card says `task`; broken ones have no task.

    Files that start with an underscore are helpers, not plugins.
    """
    _check_kind(kind)
    found = sorted(file.name.removesuffix(".py") for file in (PACKAGE / kind).glob("*.py") if file.name[0] != "_")
    return found if task is None else [name for name in found if _task(kind, name) == task]


def broken() -> list[str]:
    """What is wrong with plugin files, one line each."""
    found = []
    for kind in KINDS:
        for name in names(kind):
            if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
                found.append(f"{PACKAGE / kind / name}.py: a plugin is named with letters, digits, dots, _ and - only.")
                continue
            try:
                load(kind, name)
            except BrokenPlugin as error:
                found.append(str(error))
    return found


def path(kind: str, name: str) -> Path:
    """File of one plugin. Raises UnknownPlugin with a did-you-mean."""
    check(kind, name)
    return PACKAGE / kind / f"{name}.py"


def check(kind: str, name: str, task: str | None = None) -> None:
    """Raise UnknownPlugin, with a did-you-mean, unless a plugin of this kind (and task) has this name."""
    known = names(kind, task)
    if name not in known:
        hint = spelling.did_you_mean(name, known)
        what = kind.removesuffix("s") + (f" for {task}" if task else "")
        raise UnknownPlugin(f"No {what} is named `{name}`.{hint} Known: {', '.join(known) or 'none'}.")


def load(kind: str, name: str) -> ModuleType:
    """Import one plugin, once per process. Raises UnknownPlugin or BrokenPlugin."""
    file = path(kind, name)
    module_name = f"{__package__}.{kind}.{name}" if name.isidentifier() else escaped(kind, name)
    if module_name in sys.modules:
        return sys.modules[module_name]
    try:
        module = load_file(file, module_name)
        _check_card(kind, name, module)
    except Exception as error:
        sys.modules.pop(module_name, None)
        raise BrokenPlugin(f"{_place(file, error)}: the plugin `{name}` of {kind} {_reason(error)}") from error
    return module


def load_file(file: Path, module_name: str) -> ModuleType:
    """Import a file whose name need not be an identifier, once per process."""
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def escaped(folder: str, name: str) -> str:
    """Module name of a file in a folder of the package, whatever signs its own name has."""
    return f"{__package__}.{folder}." + re.sub(r"\W", "_", name)


def _task(kind: str, name: str) -> str | None:
    try:
        return load(kind, name).CARD.task
    except BrokenPlugin:
        return None


def _check_card(kind: str, name: str, module: ModuleType) -> None:
    """A card of the right sort with values of the right types, that says its own name."""
    wanted = CARDS[kind]
    card: Any = getattr(module, "CARD", None)
    if not isinstance(card, wanted):
        what = "has no CARD" if card is None else f"has a {type(card).__name__} as CARD"
        raise _Wrong(f"{what}. It needs a {wanted.__name__}: see records.py and the plugins beside it.")
    try:
        msgspec.convert(msgspec.to_builtins(card), wanted)
    except msgspec.ValidationError as error:
        raise _Wrong(f"has a wrong value in its CARD: {error}.") from error
    if card.name != name:
        raise _Wrong(f"says in its CARD that its name is `{card.name}`. The name of the file is the plugin's name.")


class _Wrong(Exception):
    """What is wrong with a module that can be imported."""


def _place(file: Path, error: Exception) -> str:
    """The file, with the line in it where the error came from."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{file}:{lines[-1]}" if lines else str(file)


def _reason(error: Exception) -> str:
    if isinstance(error, _Wrong):
        return str(error)
    missing = re.search(r"[Mm]issing required argument '(\w+)'", str(error))
    if missing:
        return f"does not give the field `{missing[1]}` of its CARD. Add it: records.py says what it means."
    return f"cannot be imported: {type(error).__name__}: {error}. Mend it, or take the file out of the folder."


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"Plugins come in the kinds {', '.join(KINDS)}. Got {kind!r} instead.")
