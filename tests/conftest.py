"""Before the first test: annotations with shapes are checked, and what tests start finds byte code.

Byte code is found also where Python may not keep it beside the packages. What the tests start says the same whether
`uv run pytest` or Python itself started them.
"""

import os
from pathlib import Path

import jaxtyping

PACKAGE = Path(__file__).parents[1] / "workflow/retcap"
LEFT_BY_UV = ("UV_RUN_RECURSION_DEPTH", "UVW")  # the hint "run again" follows them


def shaped_modules() -> list[str]:
    """Modules whose annotations name shapes, found by their import."""
    files = [file for file in sorted(PACKAGE.rglob("*.py")) if "\nfrom jaxtyping import" in file.read_text("utf-8")]
    return [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]


jaxtyping.install_import_hook(shaped_modules(), "beartype.beartype")


def pytest_sessionstart() -> None:
    """Called before workers start; they and all processes of the tests inherit it."""
    from retcap.jobs import bytecode

    for name in LEFT_BY_UV:
        os.environ.pop(name, None)
    bytecode.keep_for_jobs()
