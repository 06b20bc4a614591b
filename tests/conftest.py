"""Before the first test: annotations with shapes are checked, and what tests start finds byte code and a quick start.

Byte code is found also where Python may not keep it beside the packages. What the tests start says the same whether
`uv run pytest` or Python itself started them.
"""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
from xdist.scheduler import LoadFileScheduling

import quick_start

PACKAGE = Path(__file__).parents[1] / "workflow/retcap"
LEFT_BY_UV = ("UV_RUN_RECURSION_DEPTH", "UVW")  # the hint "run again" follows them
SPREAD = ("test_failing_alone.py", "test_own_data.py", "test_tiny_clip.py", "test_training_resume.py")


def shaped_modules() -> list[str]:
    """Modules whose annotations name shapes, found by their import."""
    files = [file for file in sorted(PACKAGE.rglob("*.py")) if "\nfrom jaxtyping import" in file.read_text("utf-8")]
    return [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]


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
