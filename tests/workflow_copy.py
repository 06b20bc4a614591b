"""A copy of the workflow without results, for tests that run Snakemake or edit files."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_workflow(folder: Path) -> Path:
    """Copy all that Snakemake needs into a folder, which is made if it is not there."""
    folder.mkdir(exist_ok=True)
    for name in ("workflow", "config", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder
