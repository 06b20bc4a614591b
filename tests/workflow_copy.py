"""A copy of the workflow without results, or with stand-ins for them, for tests that run Snakemake or edit files."""

import os
import re
import shutil
from pathlib import Path

import quick_start

ROOT = Path(__file__).parents[1]
FILES = {".csv", ".parquet", ".json", ".jsonl", ".html", ".yaml", ".npy", ".tsv", ".run", ".qrels", ".gz"}


def copy_workflow(folder: Path) -> Path:
    """Copy all that Snakemake needs into a folder, which is made if it is not there."""
    folder.mkdir(exist_ok=True)
    for name in ("workflow", "config", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def finished_copy(folder: Path) -> Path:
    """The same with a stand-in for every output of the demo, marked as made by the current rules (`--touch`).

    The configuration alone is what a run writes. Made once in a session of tests, and copied with its times.
    """
    shared = quick_start.folder() / "finished"
    with quick_start.locked(shared):
        if not shared.exists():
            made = finish(copy_workflow(shared.with_name("unfinished")))
            snakemake(made, "--forcerun", "write_config", "--", "results/demo/config.yaml")
            snakemake(made, "--touch", "--forceall", "--quiet", "all")
            made.rename(shared)
    shutil.copytree(shared, folder, symlinks=True, dirs_exist_ok=True)
    return folder


def finish(folder: Path, *options: str) -> Path:
    """Make a stand-in for every output of a copy, called with these options, and have them count as made."""
    for line in snakemake(folder, "--summary", *options).splitlines():
        if line.startswith("results/"):
            stand_in(folder / line.split("\t")[0])
    snakemake(folder, "--touch", "--forceall", "--quiet", "all", *options)
    return folder


def stand_in(target: Path) -> None:
    """Make an empty file or folder of this name."""
    if target.suffix in FILES:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("")
    else:
        target.mkdir(parents=True, exist_ok=True)


def snakemake(folder: Path, *arguments: str) -> str:
    """What Snakemake prints in a copy, where it must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    done = quick_start.snakemake("--cores", "2", *arguments, cwd=folder, env=environment, jobs="snakemake")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules_to_run(text: str) -> set[str]:
    """Rules of the job table of a dry run."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    if table is None:
        assert "Nothing to be done" in text, text
        return set()
    return {line.split()[0] for line in table[1].splitlines()} - {"all", "total"}
