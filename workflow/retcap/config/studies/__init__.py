"""The studies as the configuration sees them: a module each, found by its name, that says `STUDY`."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from retcap.config.common import Common
from retcap.config.study import Study


def _found() -> dict[str, Study]:
    modules = {one.name: importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)}
    for module in modules.values():
        if not isinstance(getattr(module, "STUDY", None), Study):
            raise TypeError(f"{module.__file__}: no `STUDY`. Say `STUDY = Study(...)`, see retcap/config/study.py.")
    return dict(sorted(((name, module.STUDY) for name, module in modules.items()), key=_place))


def sections(config: Common, *, running: bool = True) -> Iterator[tuple[Study, Any]]:
    """Every study with its section, or only those that run."""
    for name, study in ALL.items():
        if name in config.studies or not running:
            yield study, config.section(name)


def _place(entry: tuple[str, Study]) -> tuple[int, str]:
    return entry[1].number, entry[0]


ALL = _found()
