"""Finds plugins by file name: `names(kind)`, `path(kind, name)`, `load(kind, name)`, `check(kind, name)`.

The file name is the registry key: there is no list to edit. Names such as `qwen2.5-vl-3b` are no Python identifiers, so
plugins are loaded by path. Importing this module imports nothing heavy, and neither may a plugin at its top level.
"""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from retcap import spelling

PACKAGE = Path(__file__).parent
KINDS = ("backbones", "captioners", "datasets", "metrics")


class UnknownPlugin(ValueError):
    """A plugin name that no file carries; the message lists the known ones and the nearest."""


def names(kind: str, task: str | None = None) -> list[str]:
    """Sorted names of all plugins of one kind, or of those whose card says `task`.

    Files that start with an underscore are helpers, not plugins.
    """
    _check_kind(kind)
    found = sorted(file.name.removesuffix(".py") for file in (PACKAGE / kind).glob("*.py") if file.name[0] != "_")
    return found if task is None else [name for name in found if load(kind, name).CARD.task == task]


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
    """Import one plugin, once per process."""
    file = path(kind, name)
    module_name = f"{__package__}.{kind}.{name}" if name.isidentifier() else _escaped(kind, name)
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


def _escaped(kind: str, name: str) -> str:
    return f"{__package__}.{kind}." + re.sub(r"\W", "_", name)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"Plugins come in the kinds {', '.join(KINDS)}. Got {kind!r} instead.")
