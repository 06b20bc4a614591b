"""Where the workflow runs: what has to be right there before anything is planned, and what lets jobs start anywhere."""

import os
import shlex
import sys
from pathlib import Path

SHAPES_RESULTS = False  # see retcap.reruns.digest


def problems(checkout: Path, experiment: str) -> list[str]:
    """What is wrong with the folders of the checkout and of the results, with the remedy."""
    found, checkout = [], checkout.resolve()
    if any(sign in str(checkout) for sign in "{}"):
        found.append(
            f"The checkout {checkout} has braces in its path, which Snakemake takes for wildcards. Rename the folder."
        )
    for folder in (Path("results"), Path("results/data"), Path("results") / experiment):
        if folder.is_symlink() and not folder.exists():
            found.append(f"{folder} is a link to {os.readlink(folder)}, which is not there. Make that folder.")
        elif folder.exists() and not folder.is_dir():
            found.append(f"{folder} is a file, and results are written into a folder of this name. Rename the file.")
    return found


def quote_python() -> None:
    """Quote the interpreter's path, which Snakemake puts into shell commands as it is: it may hold blanks or more."""
    if sys.executable == shlex.quote(sys.executable) or sys.executable.startswith("'"):
        return
    sys.executable = shlex.quote(sys.executable)
