"""Runs one script of the workflow as Snakemake would, in a process of its own, without Snakemake's planning."""

import json
from pathlib import Path

import quick_start

ROOT = Path(__file__).parents[1]

PROGRAM = """
import json, runpy, sys
from types import SimpleNamespace
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, ResourceList, Wildcards

def files(given):
    found = InputFiles()
    for name, value in given.items():
        many, start = isinstance(value, list), len(found)
        found.extend(value if many else [value])
        found._set_name(name, start, end=len(found) if many else None)
    return found

script, given = sys.argv[1], json.loads(sys.argv[2])
snakemake = SimpleNamespace(
    rule=given["rule"],
    threads=1,
    scriptdir=".",
    input=files(given["input"]),
    output=OutputFiles(fromdict=given["output"]),
    params=Params(fromdict=given["params"] | {"code": given["rule"]}),
    wildcards=Wildcards(fromdict=given["wildcards"]),
    resources=ResourceList(fromdict={"gpu": 0, "attempt": 1}),
    log=Log([f"results/demo/logs/{given['rule']}.log"]),
)
runpy.run_path(script, init_globals={"snakemake": snakemake})
"""


def run_script(
    folder: Path, rule: str, *, inputs: dict, outputs: dict, params: dict | None = None, wildcards: dict | None = None
) -> str:
    """Run `workflow/scripts/<rule>.py` in a folder; gives the job's log. Paths may be Paths or strings."""
    given = {"rule": rule, "input": inputs, "output": outputs, "params": params or {}, "wildcards": wildcards or {}}
    script = ROOT / "workflow/scripts" / f"{rule}.py"
    done = quick_start.run("-c", PROGRAM, str(script), json.dumps(given, default=str), cwd=folder, kind="torch")
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / f"results/demo/logs/{rule}.log").read_text(encoding="utf-8")
