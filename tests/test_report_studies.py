"""A study on the page is a module and a template of its name: a further one edits no file of the report."""

import os
import subprocess
import sys
from pathlib import Path

import quick_start
from retcap.report import studies
from retcap.report.page import TEMPLATES
from workflow_copy import copy_workflow

MODULE = """
def files(plan):
    return {"numbers": f"{plan.results}/toy/numbers.txt"}
def params(plan):
    return {"unit": "bricks"}
def known(params):
    return {"brick": ["red"]}
def inputs(found, params, failed):
    return {"path": found.numbers, "unit": params.unit}
def section(inputs, experiment):
    return {"total": sum(map(int, open(inputs["path"]).read().split())), "unit": inputs["unit"]}
def opening(section):
    return [f"The toy study counted {section['total']} {section['unit']}."]
def contents(section):
    return [("toy-total", "Total")]
"""
TEMPLATE = """<section id="toy">
<h2 id="toy-total">Toy</h2><p>{{ toy.total }} {{ toy.unit }} <b>&</b> {{ "<i>" }}</p></section>
"""
PROGRAM = """
from pathlib import Path
from retcap.plan import Plan
from retcap.report import studies
from retcap.report.inputs import ReportInputs
from retcap.report.page import build_report

plan = Plan({"experiment": "x", "studies": ["toy"]}, Path("workflow"))
found, params = studies.files(plan), studies.params(plan)
inputs = ReportInputs("x", studies=studies.inputs(found, params, {}), known=studies.known(params))
print(found, inputs.known, build_report(inputs))
"""


def test_a_further_study_is_a_module_and_a_template(tmp_path: Path):
    folder = copy_workflow(tmp_path)
    (folder / "workflow/retcap/report/studies/toy.py").write_text(MODULE)
    (folder / "workflow/report/studies/toy.html").write_text(TEMPLATE)
    (folder / "results/x/toy").mkdir(parents=True)
    (folder / "results/x/toy/numbers.txt").write_text("20 22")
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    done = quick_start.run("-c", PROGRAM, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{'toy.numbers': 'results/x/toy/numbers.txt'} {'brick': ['red']} <!doctype html>")
    assert '<p class="lead">The toy study counted 42 bricks.</p>' in done.stdout
    assert '<li><a href="#toy">Toy</a>\n<ul>\n<li><a href="#toy-total">Total</a></li>' in done.stdout
    assert '<section id="toy">\n<h2 id="toy-total">Toy</h2><p>42 bricks <b>&</b> &lt;i&gt;</p></section>' in done.stdout


def test_every_study_has_both_files():
    modules = {path.stem for path in Path(studies.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == {path.stem for path in (TEMPLATES / "studies").glob("*.html")} >= {"retrieval", "captioning"}


def test_the_snakefile_may_ask_a_study_without_importing_what_is_heavy():
    program = (
        "import sys; from retcap.report import studies; [studies.load(name) for name in ('retrieval', 'captioning')]; "
        "print(sorted({'torch', 'pandas', 'pyarrow', 'jinja2', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
