"""Where a checkout may lie: paths with blanks and quotation marks work, and what cannot work says so at once."""

import os
import sys
from pathlib import Path
from subprocess import run

import pytest

from workflow_copy import copy_workflow

SMALL = "panorama_world={train_images: 3, test_images: 2}"


def snakemake(folder: Path, *arguments: str) -> tuple[int, str]:
    """Snakemake of an environment that lies in the checkout, as `uv run` makes it."""
    python = folder / ".venv/bin/python"
    python.parent.parent.symlink_to(sys.prefix)
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    done = run(
        [python, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["a b", "it's", "a$(b) & c;#"])
def test_jobs_run_in_a_checkout_whose_path_has_blanks_and_signs(name: str, tmp_path: Path):
    folder = tmp_path / name
    folder.mkdir()
    copy_workflow(folder / "retcap")
    status, text = snakemake(folder / "retcap", "--config", SMALL, "--", "results/demo/captioning/rows.parquet")
    assert status == 0, text
    assert (folder / "retcap/results/demo/captioning/rows.parquet").is_file()


def test_a_checkout_with_braces_stops_at_once(tmp_path: Path):
    folder = tmp_path / "a {b}"
    copy_workflow(folder)
    status, text = snakemake(folder, "-n")
    assert status == 1
    assert (
        f"The checkout {folder} has braces in its path, which Snakemake takes for wildcards. Rename the folder." in text
    )
    assert "Traceback" not in text


@pytest.mark.parametrize("name", ["results", "results/data", "results/demo"])
def test_a_file_in_the_place_of_the_results_is_named(name: str, tmp_path: Path):
    copy_workflow(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    status, text = snakemake(tmp_path, "-n")
    assert status == 1
    assert f"{name} is a file, and results are written into a folder of this name. Rename the file." in text
    assert "Traceback" not in text


def test_results_that_are_a_link_to_nowhere_are_named(tmp_path: Path):
    copy_workflow(tmp_path)
    (tmp_path / "results").symlink_to("/no/where")
    status, text = snakemake(tmp_path, "-n")
    assert status == 1
    assert "results is a link to /no/where, which is not there. Make that folder." in text


def test_errors_of_the_configuration_are_printed_without_lines_of_the_workflow(tmp_path: Path):
    copy_workflow(tmp_path)
    (tmp_path / "mine.yaml").write_text("sed: 1\n")
    status, text = snakemake(tmp_path, "-n", "--configfile", "mine.yaml")
    assert status == 1
    assert "The configuration has 1 problem:\n  mine.yaml:1: sed: unknown key. Did you mean `seed`?" in text
    assert ".smk" not in text
