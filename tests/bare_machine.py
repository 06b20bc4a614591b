"""A Python that sees only what a bare GPU machine has, for the tests of the GPU suite: run as a script, it starts it.

    python tests/bare_machine.py training --dry --out DIR

All other packages that are installed here look as if they were not: their specification is not found.
"""

import importlib.metadata
import importlib.util
import re
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

SUITE = Path(__file__).parent / "benchmarks/gpu"
OWN = {"retcap", "snakemake_logger_plugin_retcap"}  # travel with the repository


def there(roots: Sequence[str]) -> set[str]:
    """Names of the distributions in `roots` and of all that they require, extras left out."""
    found: set[str] = set()
    left = [_canonical(root) for root in roots]
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        left += [_canonical(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in required if "extra ==" not in line]
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def hide(roots: Sequence[str]) -> set[str]:
    """Hide the modules of every installed distribution but those of `roots` and their requirements; gives the names."""
    kept = there(roots)
    providers = importlib.metadata.packages_distributions()
    hidden = {
        module
        for module, names in providers.items()
        if module not in OWN and not kept & {_canonical(name) for name in names}
    }

    class Bare:
        """PathFinder without the hidden modules."""

        @staticmethod
        def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
            return None if name.partition(".")[0] in hidden else PathFinder.find_spec(name, path, target)

        find_distributions = PathFinder.find_distributions  # versions are asked for through the same finders

    sys.meta_path[:] = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
    return hidden


if __name__ == "__main__":
    sys.path[:0] = [str(SUITE.parent)]
    from gpu import machine

    roots = [{"PIL": "pillow"}.get(name, name) for name in machine.REQUIRED + machine.CARRIED]
    gone = hide(roots)
    assert {"snakemake", "open_clip", "faiss", "pycocoevalcap", "torchvision", "pandas"} <= gone, sorted(gone)
    assert importlib.util.find_spec("faiss") is None
    sys.argv[0] = str(SUITE)
    runpy.run_path(str(SUITE), run_name="__main__")
