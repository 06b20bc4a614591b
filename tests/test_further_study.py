"""A further study is a section, a plan, rules and a page, all found by its name: no shared file is edited."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import quick_start
import toy_study
from retcap import studies
from retcap.config import studies as configured
from retcap.report import studies as sections
from retcap.report.page import TEMPLATES
from workflow_copy import copy_workflow

ROOT = Path(__file__).parents[1]
BRICKS = ("--config", "studies=[bricks]", "experiment=toy")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_workflow(tmp_path_factory.mktemp("further"))
    toy_study.add(folder)
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder / "workflow")}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return quick_start.snakemake("--cores", "2", *arguments, cwd=folder, env=environment(folder))


def python(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_further_study_runs_is_checked_said_and_shown(checkout: Path):
    done = snakemake(checkout, *BRICKS)
    said = done.stdout + done.stderr
    page = (checkout / "results/toy/report.html").read_text()
    assert '<p class="lead">There are 20 red bricks.</p>' in page
    assert '<li><a href="#bricks">Bricks</a>\n<ul>\n<li><a href="#bricks-count">Count</a></li>' in page
    assert '<h2 id="bricks-count">Bricks</h2>\n<p>20 red &lt;i&gt;</p>\n</section>' in page
    assert "retrieval" not in re.sub(r"(?s)<section id=.provenance.*", "", page)
    assert "Bricks: 20 red ones" in said
    assert "Records set aside\n1 of bricks: results/toy/bricks/quarantine.jsonl" in said
    # one colour fails alone: the rest is made, and the check says so
    assert done.returncode == 1
    assert "results are missing: blue. The rest is in results/toy/report.html." in said
    assert "count_bricks blue: ValueError: no blue brick." in said
    assert not (checkout / "results/toy/verdict.json").exists()


def test_why_names_the_keys_of_a_further_study(checkout: Path):
    text = python(checkout, "retcap", "why", *BRICKS, 'brick_world={"count": 30}', 'bricks={"colours": ["red"]}')
    assert "draw_bricks:\n    not there: results/data/brick_world/count-30/bricks.txt" in text
    assert "bricks.colours" in text


def test_a_mistake_in_a_further_study_is_named_with_its_place(checkout: Path):
    (checkout / "mine.yaml").write_text("studies: [bricks]\nbricks: {colours: [], file: <brik_world>/a.txt}\n")
    done = snakemake(checkout, "-n", "--configfile", "mine.yaml")
    said = done.stdout + done.stderr
    assert "mine.yaml:2: bricks.colours: no colour is left. Name one." in said
    assert "mine.yaml:2: bricks.file: '<brik_world>/a.txt' begins with an unknown placeholder. Known: " in said


def test_the_generated_files_of_the_configuration_know_a_further_study(checkout: Path):
    python(checkout, "retcap.config.files")
    defaults = yaml.safe_load((checkout / "config/config.yaml").read_text())
    assert defaults["studies"] == ["retrieval", "captioning", "transfer", "bricks"]
    assert defaults["brick_world"] == {"count": 20}
    assert defaults["bricks"]["colours"] == ["red", "blue"]
    assert "# study 9: bricks are counted\nbricks:" in (checkout / "config/config.yaml").read_text()
    assert "| `bricks.file` | `<brick_world>/bricks.txt` | path |" in (checkout / "config/README.md").read_text()


def test_every_study_has_all_its_files():
    names = set(configured.ALL)
    assert names >= {"retrieval", "captioning", "transfer"}
    assert names == {path.parent.name for path in (ROOT / "workflow/retcap").glob("*/plan.py")}
    assert names == {path.stem for path in Path(sections.__file__).parent.glob("*.py")} - {"__init__"}
    assert names == {path.stem for path in (TEMPLATES / "studies").glob("*.html")}
    assert names == {path.stem for path in (ROOT / "workflow/rules").glob("*.smk")} - {"backbones", "common", "report"}
    for name in names:
        module, wanted = sections.load(name), ("params", "inputs", "section", "opening", "contents")
        assert [function for function in wanted if not hasattr(module, function)] == []
        assert studies.kind(name).name == name
