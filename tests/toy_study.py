"""A study of bricks, as somebody would add one: all of its files, and none that is there already."""

from pathlib import Path

FILES = {
    "workflow/retcap/config/studies/bricks.py": '''
"""Bricks in the configuration."""

from retcap.config.errors import Problem
from retcap.config.parts import DataPath, Positive, Section, key
from retcap.config.study import STUDIES, SharedFolder, Study


class BrickWorld(SharedFolder):
    """Where bricks come from."""

    PLACEHOLDER = "brick_world"
    MEANING = "the generated bricks"
    count: Positive = key(20, "bricks", "bricks")

    def makes(self, path, *, folder):
        return path == "bricks.txt"


class Bricks(Section):
    """Counts bricks."""

    file: DataPath = key("<brick_world>/bricks.txt", "bricks to count, one a line", "path")
    colours: list[str] = key(["red", "blue"], "colours to count")


def problems(own, config):
    if not own.colours:
        yield Problem(("bricks", "colours"), "no colour is left. Name one.", (STUDIES,))


def files(own):
    yield ("bricks", "file"), own.file


STUDY = Study(9, "bricks are counted", Bricks, worlds=(BrickWorld,), problems=problems, files=files)
''',
    "workflow/retcap/bricks/__init__.py": '"""Study 9: bricks."""\n',
    "workflow/retcap/bricks/plan.py": '''
"""What the rules of the brick study ask."""

import json
from pathlib import Path

from retcap.plan import Alone, StudyPlan


class BricksPlan(StudyPlan):
    """Colours and their files."""

    name = "bricks"
    alone = {"count_bricks": Alone("bricks.colours")}

    def wildcards(self):
        return {"system": self.own["colours"]}

    def counts(self):
        return [f"{self.folder}/{colour}.json" for colour in self.own["colours"]]

    def reported(self):
        return {"counts": self.counts()}

    def checked(self):
        return {"counts": self.counts()}

    def closing_table(self):
        return Path(self.folder, "red.json")

    def closing_lines(self):
        return [f"Bricks: {json.loads(self.closing_table().read_text())['count']} red ones"]

    def set_aside(self):
        return {"bricks": [Path(self.folder, "quarantine.jsonl")]}


PLAN = BricksPlan
''',
    "workflow/rules/bricks.smk": """
bricks = plans["bricks"]


rule draw_bricks:
    output:
        file="<brick_world>/bricks.txt",
        quarantine="<results>/bricks/quarantine.jsonl",
    log:
        "<brick_world>.log",
    threads: 1
    params:
        amount=lookup("brick_world/count", within=config),
        code=plan.code("draw_bricks"),
    script:
        "../scripts/draw_bricks.py"


rule count_bricks:
    input:
        file=lookup("bricks/file", within=config),
    output:
        counts="<results>/bricks/{system}.json",
    log:
        "<logs>/count_bricks/{system}.log",
    retries: ALONE
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(100),
    params:
        again=again("count_bricks"),
        colour=lambda wildcards: wildcards.system,
        code=plan.code("count_bricks"),
    script:
        "../scripts/count_bricks.py"
""",
    "workflow/scripts/draw_bricks.py": """
from retcap.jobs import job

with job.start(snakemake) as run:
    run.out.file.write_text("red\\n" * snakemake.params.amount)
    run.out.quarantine.write_text('{"reason": "broken"}\\n')
""",
    "workflow/scripts/count_bricks.py": """
import json
from pathlib import Path

from retcap.jobs import job

with job.start(snakemake) as run:
    found = Path(snakemake.input.file).read_text().split().count(snakemake.params.colour)
    if not found:
        raise ValueError(f"no {snakemake.params.colour} brick")
    run.out.counts.write_text(json.dumps({"count": found}))
""",
    "workflow/retcap/report/studies/bricks.py": '''
"""Bricks on the page."""

import json
from pathlib import Path

from retcap.report.studies import named


def params(plan):
    return {"colours": plan.own["colours"]}


def inputs(found, params, failed):
    return named(params.colours, found.counts, failed)


def section(inputs, experiment):
    return {"counts": {name: json.loads(Path(path).read_text())["count"] for name, path in inputs.items()}}


def opening(section):
    return [f"There are {section['counts']['red']} red bricks."]


def contents(section):
    return [("bricks-count", "Count")]
''',
    "workflow/report/studies/bricks.html": """
<section id="bricks">
<h2 id="bricks-count">Bricks</h2>
{% for name, count in bricks.counts.items() %}
<p>{{ count }} {{ name }} {{ "<i>" }}</p>
{% endfor %}
</section>
""",
}


def add(folder: Path) -> None:
    """Write them into a copy of the workflow, where none of them may be there."""
    for name, text in FILES.items():
        file = folder / name
        assert not file.exists(), name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.lstrip("\n"))
