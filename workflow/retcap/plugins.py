"""Finds plugins by file name: `names(kind)`, `path(kind, name)`, `load(kind, name)`.

The file name is the registry key: there is no list to edit. Names such as `qwen2.5-vl-3b` are no Python identifiers, so
plugins are loaded by path. Importing this module imports nothing heavy, and neither may a plugin at its top level.
"""

import difflib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parent
KINDS = ("backbones", "captioners", "datasets", "metrics")


class UnknownPlugin(ValueError):
    """A plugin name that no file carries; the message lists the known ones and the nearest."""


def names(kind: str) -> list[str]:
    """Sorted names of all plugins of one kind; files that start with an underscore are helpers, not plugins."""
    _check_kind(kind)
    return sorted(file.name.removesuffix(".py") for file in (PACKAGE / kind).glob("*.py") if file.name[0] != "_")


def path(kind: str, name: str) -> Path:
    """File of one plugin. Raises UnknownPlugin with a did-you-mean."""
    _check_kind(kind)
    file = PACKAGE / kind / f"{name}.py"
    if name not in names(kind):
        known = names(kind)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise UnknownPlugin(
            f"No {kind.removesuffix('s')} is named `{name}`.{hint} Known: {', '.join(known) or 'none'}."
        )
    return file


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
