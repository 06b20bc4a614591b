"""Before the first test: annotations with shapes are checked, and what tests start finds byte code and a quick start.

RETCAP_ANNOTATIONS=all checks those of the whole package.
Byte code is found also where Python may not keep it beside the packages. What the tests start says the same whether
`uv run pytest` or Python itself started them.
"""

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
from beartype import BeartypeConf
from beartype.claw import beartype_package
from xdist.scheduler import LoadFileScheduling

import quick_start

PACKAGE = Path(__file__).parents[1] / "workflow/retcap"
LEFT_BY_UV = ("UV_RUN_RECURSION_DEPTH", "UVW")  # the hint "run again" follows them
SPREAD = ("test_failing_alone.py", "test_own_data.py", "test_tiny_clip.py", "test_training_resume.py")


def modules() -> dict[str, str]:
    """Text of every module of the package by name."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = file.read_text("utf-8")
    return found


def shaped_modules() -> list[str]:
    """Modules whose annotations name shapes, found by their import."""
    return [module for module, text in modules().items() if "\nfrom jaxtyping import" in text]


class Unchecked:
    """Finds the modules whose annotations name what type checkers alone import, as if nothing checked them."""

    names = frozenset(module for module, text in modules().items() if "\nif TYPE_CHECKING:" in text)

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in cls.names else None
        if spec is not None:
            spec.loader = SourceFileLoader(name, str(spec.origin))
        return spec


if os.environ.get("RETCAP_ANNOTATIONS") == "all":
    beartype_package("retcap", conf=BeartypeConf(is_pep484_tower=True))  # as for type checkers, an int is a float, too
    sys.meta_path.insert(0, Unchecked)
jaxtyping.install_import_hook(shaped_modules(), "beartype.beartype")


def pytest_sessionstart() -> None:
    """Called before workers start; they and all processes of the tests inherit it."""
    from retcap.jobs import bytecode

    if quick_start.SESSION not in os.environ:
        quick_start.begin_session()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a run in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in LEFT_BY_UV:
        os.environ.pop(name, None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # with a worker per core, further threads would wait for each other
    bytecode.keep_for_jobs()


def pytest_sessionfinish() -> None:
    if os.environ.get(quick_start.SESSION, "").startswith(f"{os.getpid()}:"):
        shutil.rmtree(quick_start.folder(), ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, so that no worker is left with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Of files with several long tests, workers take one at a time."""

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return nodeid if file.endswith(SPREAD) else file

    return Scheduling(config, log)
