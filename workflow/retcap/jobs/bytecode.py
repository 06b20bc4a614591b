"""Byte code of the packages that jobs import, where Python may not keep it beside them.

In many containers PYTHONDONTWRITEBYTECODE is set, or the environment is read-only. Then every job compiles torch and
transformers anew, which takes twice as long as importing them. `keep_for_jobs` gives jobs a place of their own below
.snakemake instead: nothing is written beside the packages, and they are compiled once. Where byte code is there
already, or somebody chose a place for it, all stays as it is.
"""

import importlib.util
import os
import sys
from pathlib import Path

SHAPES_RESULTS = False  # see retcap.reruns.digest
FOLDER = Path(".snakemake/bytecode")  # in the working directory; safe to delete
LARGEST = "torch"  # of the packages that jobs import


def keep_for_jobs() -> None:
    """Set the environment of processes that this one starts."""
    spec = importlib.util.find_spec(LARGEST)
    if spec is None or spec.origin is None or os.environ.get("PYTHONPYCACHEPREFIX"):
        return
    compiled = Path(importlib.util.cache_from_source(spec.origin))
    may_write = os.access(compiled.parent if compiled.parent.is_dir() else compiled.parents[1], os.W_OK)
    if compiled.is_file() or (may_write and not sys.dont_write_bytecode):
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(FOLDER.absolute())
