"""Where a checkout may lie: paths with blanks and quotation marks work, and what cannot work says so at once."""

import os
import sys
from pathlib import Path
from subprocess import run

import pytest

import quick_start
from retcap.jobs import surroundings
from workflow_copy import copy_workflow

SMALL = "panorama_world={train_images: 3, test_images: 2}"


def plan(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and text of a dry run."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    done = quick_start.snakemake("-n", *arguments, cwd=folder, env=environment)
    return done.returncode, done.stdout + done.stderr


def test_jobs_run_in_a_checkout_whose_path_has_blanks_and_signs(tmp_path: Path):
    """With an environment that lies in the checkout, as `uv run` makes it."""
    folder = tmp_path / "it's a $(b) & c;#" / "retcap"
    folder.parent.mkdir()
    copy_workflow(folder)
    python = folder / ".venv/bin/python"
    python.parent.parent.symlink_to(sys.prefix)
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    target = ["--config", SMALL, "--", "results/demo/captioning/rows.parquet"]
    command = [python, "-m", "snakemake", "--cores", "1", *target]
    done = run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "results/demo/captioning/rows.parquet").is_file()


def test_a_checkout_with_braces_stops_at_once(tmp_path: Path):
    folder = tmp_path / "a {b}"
    copy_workflow(folder)
    status, text = plan(folder)
    assert status == 1
    assert (
        f"The checkout {folder} has braces in its path, which Snakemake takes for wildcards. Rename the folder." in text
    )
    assert "Traceback" not in text


@pytest.mark.parametrize("name", ["results", "results/data", "results/demo"])
def test_a_file_in_the_place_of_the_results_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    said = f"{name} is a file, and results are written into a folder of this name. Rename the file."
    assert surroundings.problems(tmp_path, "demo") == [said]


def test_results_that_are_a_link_to_nowhere_are_named(tmp_path: Path):
    copy_workflow(tmp_path)
    (tmp_path / "results").symlink_to("/no/where")
    status, text = plan(tmp_path)
    assert status == 1
    assert "results is a link to /no/where, which is not there. Make that folder." in text


def test_errors_of_the_configuration_are_printed_without_lines_of_the_workflow(tmp_path: Path):
    copy_workflow(tmp_path)
    (tmp_path / "mine.yaml").write_text("sed: 1\n")
    status, text = plan(tmp_path, "--configfile", "mine.yaml")
    assert status == 1
    assert "The configuration has 1 problem:\n  mine.yaml:1: sed: unknown key. Did you mean `seed`?" in text
    assert ".smk" not in text
