"""The ways into the workflow: from its root, by the file in `workflow/`, and as a module of another workflow."""

import os
import re
from pathlib import Path

import pytest
import yaml

import quick_start
from workflow_copy import copy_workflow

OTHER = """
configfile: "config.yaml"


rule mine:
    default_target: True
    input:
        "copied.html",


module retcap:
    snakefile:
        "{checkout}/workflow/Snakefile"
    config:
        config["retcap"]


use rule * from retcap {names}


use rule caption_blind from retcap with:
    threads: 2


rule copy_report:
    input:
        "results/theirs/report.html",
    output:
        "copied.html",
    params:
        code="not one of retcap's",
        width=1,
        height=2,
    shell:
        "cp {{input}} {{output}}"
"""


def snakemake(folder: Path, *arguments: str) -> str:
    """What is printed by Snakemake in a folder, where the package is to be found by the workflow itself."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = quick_start.snakemake("--cores", "2", *arguments, cwd=folder, env=environment, jobs="snakemake")
    return done.stdout + done.stderr


def planned(text: str) -> dict[str, int]:
    """Job counts by rule from the table of a dry run."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert table is not None, text
    return {rule: int(count) for rule, count in (line.split() for line in table[1].splitlines())}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_workflow(tmp_path_factory.mktemp("checkouts") / "retcap")


@pytest.fixture(scope="module")
def from_the_root(checkout: Path) -> dict[str, int]:
    """The plan of the demo as a clone makes it."""
    return planned(snakemake(checkout, "-n"))


def other(folder: Path, checkout: Path, names: str = "exclude all", **settings: object) -> Path:
    """Another workflow with one rule of its own, that uses all of retcap's."""
    (folder / "Snakefile").write_text(OTHER.format(checkout=checkout, names=names))
    (folder / "config.yaml").write_text(yaml.safe_dump({"mine": 1, "retcap": {"experiment": "theirs", **settings}}))
    return folder


def test_both_files_plan_the_same_jobs_with_the_same_profile(checkout: Path, from_the_root: dict[str, int]):
    text = snakemake(checkout, "-n", "--snakefile", "workflow/Snakefile")
    assert from_the_root["all"] == 1
    assert planned(text) == from_the_root
    assert "Using workflow specific profile profiles/default" in text


def test_another_workflow_uses_all_rules_with_its_own_configuration(
    tmp_path: Path, checkout: Path, from_the_root: dict[str, int]
):
    folder = other(tmp_path, checkout, seed=3)
    text = snakemake(folder, "-n")
    jobs = planned(text)
    ours = set(jobs) - {"mine", "copy_report", "total"}
    assert {name: jobs[name] for name in ours} == {name: from_the_root[name] for name in ours}
    assert ours == set(from_the_root) - {"all", "check", "total"}  # the report does not wait for the verdict
    assert "results/theirs/report.html" in text
    done = snakemake(folder, "results/theirs/config.yaml")  # a job of it: package, script, environment, results
    written = yaml.safe_load((folder / "results/theirs/config.yaml").read_text())
    assert (written["experiment"], written["seed"]) == ("theirs", 3), done
    assert written["captioning"]["csv"].startswith("results/data/panorama_world/")  # defaults are there too
    assert "mine" not in written
    assert "Nothing to be done" in snakemake(folder, "-n", "results/theirs/config.yaml")


def test_a_mistake_in_the_configuration_of_a_module_is_named(tmp_path: Path, checkout: Path):
    text = snakemake(other(tmp_path, checkout, sead=3), "-n")
    assert "sead: unknown key. Did you mean `seed`?" in text


def test_rules_of_a_module_keep_their_names(tmp_path: Path, checkout: Path):
    text = snakemake(other(tmp_path, checkout, names="as theirs_*"), "-n")
    assert (
        "`use rule` calls `caption` of retcap `theirs_caption`, and its rules keep their names. Leave out `as`." in text
    )
