"""The ways of scoring a ranking behind published numbers: a file each, found by its name, with a `Dialect` in it.

`strict`  this project's default: defined for every input, never fails
`ret`     `inference.py` of aimagelab/ReT, commit 3fee6aa
`flmr`    `examples/example_use_preflmr.py` of LinWeizheDragon/FLMR, commit be4b748

Only scoring differs: the ranking is always that of our exact search. Finding them imports nothing heavy.
"""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retcap.retrieval.judging.rules import Dialect

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of all dialects."""
    return sorted(file.stem for file in FOLDER.glob("*.py") if file.name != "__init__.py")


def check(name: str) -> str:
    """The name, if a dialect has it. Raises ValueError."""
    if name not in names():
        raise ValueError(f"must be one of {', '.join(names())}. Got {name!r} instead.")
    return name


def paths(chosen: Iterable[str]) -> list[Path]:
    """Their files, for the digest of the code."""
    return [FOLDER / f"{name}.py" for name in chosen]


def load(name: str) -> "Dialect":
    """A dialect by name. Raises ValueError for one that is not there."""
    return importlib.import_module(f"{__name__}.{check(name)}").DIALECT
