"""Says why jobs would run again: which key of the configuration, which module, which file changed.

    python -m retcap why                       every rule that would run, with what changed
    python -m retcap why train_retriever       one rule, followed up to what changed
    python -m retcap why results/demo/…        the same for an output
    python -m retcap why RULE --configfile config/mine.yaml --config seed=1      as the run would be called

The plan is Snakemake's own, made as for a dry run; what jobs were run with stands in their provenance records.
"""

import contextlib
import io
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from retcap import spelling
from retcap.config import overwriting
from retcap.reruns import changes
from retcap.reruns.params import digest_of

SHAPES_RESULTS = False  # see retcap.reruns.digest
SHOWN = 4  # jobs or files of a kind
ROOM = 100  # characters for the wildcards of a rule's jobs; those of several cells are longer
LINES = 12  # changes of a job


class Plan(NamedTuple):
    """Snakemake's workflow and its graph of jobs."""

    workflow: Any
    dag: Any

    def needed(self) -> list[Any]:
        """Jobs that would run, in the order of their rules and wildcards."""
        return sorted((job for job in self.dag.needrun_jobs() if job.rule.name != "all"), key=_title)


@contextlib.contextmanager
def planned(arguments: Sequence[str], targets: Sequence[str]) -> Iterator[Plan]:
    """The plan that `snakemake -n` with these arguments would show."""
    from snakemake import cli
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import DAGSettings, OutputSettings, ResourceSettings

    with contextlib.redirect_stderr(io.StringIO()):  # which profile is used
        options = cli.parse_args(["-n", *arguments])[1]
    quiet = OutputSettings(
        dryrun=True, quiet={Quietness.ALL}, log_level_override=logging.ERROR, enable_file_logging=False
    )
    settings = cli.ConfigSettings(  # with clear errors, where the workflow's plugin is part of the environment
        config=cli.parse_config(options.config), configfiles=options.configfile or [], config_args=options.config
    )
    with SnakemakeApi(quiet) as api:
        workflow: Any = api.workflow(resource_settings=ResourceSettings(cores=1), config_settings=settings)
        wanted = DAGSettings(targets={*options.targets, *targets}, rerun_triggers=options.rerun_triggers)
        graph = workflow.dag(wanted)
        with contextlib.redirect_stdout(io.StringIO()):
            graph.printrulegraph()  # plans, as a dry run does, and runs nothing
        yield Plan(workflow._workflow, workflow._workflow.dag)


def reasons(plan: Plan, job: Any) -> list[str]:
    """What changed for a job itself, one line each; empty if it only follows from others."""
    why, found = plan.dag.reason(job), []
    if why.missing_output:
        found.append(f"not there: {_few(why.missing_output)}")
    if why.incomplete_output:
        found.append(f"not finished: {_few(why.incomplete_output)}")
    if why.updated_input:
        found.append(f"newer than what was made of it: {_few(why.updated_input)}")
    if why.input_changed:
        found.append("other input files than before")
    if why.software_stack_changed:
        found.append("the conda file of its environment changed")
    if why.forced:
        found.append("forced")
    return found + _param_changes(plan, job)


def _param_changes(plan: Plan, job: Any) -> list[str]:
    """Also where Snakemake has another reason, and so does not look at the params."""
    now, names = dict(job.params.items()), changes.Names(plan.workflow.config, job.wildcards)
    recorded = plan.workflow.persistence.params(job.output[0])
    if recorded is None or not plan.workflow.persistence.params_changed(job):
        return []
    if "config_hash" in now:  # what is written is the whole configuration
        written = overwriting.recorded(Path(job.output[0]))
        return list(changes.of_params(written, names.config, names)) if written else ["the configuration changed"]
    noted = now.pop("again", None)
    code = next((text.strip("'") for text in recorded if changes.is_code(text.strip("'"))), None)
    record = _provenance(job)
    if record.get("code") != digest_of(code) or record.get("status") != "completed":
        record = {}  # of another run than the one that made the output
    found = [f"to be tried again: {noted}"] if noted and repr(noted) not in recorded else []
    found += list(changes.of_code(code, now.get("code"), record.get("commit")))
    params = record.get("params")
    if params is None:
        told = changes.of_values(recorded, now | {"again": noted}, names)
        return found + [line for line in told if not line.startswith("again:")]
    return found + list(changes.of_params(params, now, names))


def _provenance(job: Any) -> dict[str, Any]:
    try:
        return json.loads(Path(job.log[0]).with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, IndexError):
        return {}


def origins(plan: Plan, job: Any) -> list[Any]:
    """The jobs with reasons of their own that a job follows from; itself, if it has one."""
    found, seen, todo = [], {job}, [job]
    while todo:
        one = todo.pop()
        if reasons(plan, one):
            found.append(one)
        for before in plan.dag.dependencies[one]:
            if before not in seen and plan.dag.needrun(before):
                seen.add(before)
                todo.append(before)
    return sorted(found, key=_title)


def told(plan: Plan, names: Sequence[str]) -> Iterator[str]:
    """The answer, line by line."""
    jobs = [job for name in names for job in _jobs(plan, name)] if names else plan.needed()
    running = [job for job in jobs if plan.dag.needrun(job)]
    if not running:
        what = ", ".join(names) if names else "everything"
        yield f"Nothing would run: {what} is up to date."
        return
    causes: dict[tuple[str, ...], list[Any]] = {}
    for job in running:
        for origin in [job] if not names else origins(plan, job):
            own = causes.setdefault(tuple(reasons(plan, origin)), [])
            own += [origin] if origin not in own else []
    follows = [job for job in running if not reasons(plan, job)]
    if names:
        yield f"Would run: {_titles(running)}"
    for lines, whose in sorted(causes.items(), key=lambda entry: _title(entry[1][0])):
        if lines:
            yield f"{_titles(whose)}:"
            yield from (f"    {line}" for line in lines[:LINES])
            if lines[LINES:]:
                yield f"    … and {len(lines) - LINES} more"
    if not names and follows:
        yield f"These follow from them: {', '.join(sorted({job.rule.name for job in follows}))}"


def _jobs(plan: Plan, name: str) -> list[Any]:
    """Jobs of a rule, or the one that makes a file. Raises SystemExit where there is none."""
    found = [job for job in plan.dag.jobs if job.rule.name == name]
    found += [job for job in plan.dag.jobs if any(name == path or name.startswith(f"{path}/") for path in job.output)]
    if not found:
        rules = sorted({rule.name for rule in plan.workflow.rules})
        where = "has no job in this plan" if name in rules else "is no rule and no output of this plan"
        raise SystemExit(f"`{name}` {where}.{spelling.did_you_mean(name, rules) if name not in rules else ''}")
    return found


def _title(job: Any) -> str:
    """What jobs are sorted by."""
    return f"{job.rule.name} {' '.join(job.wildcards)}"


def _titles(jobs: Sequence[Any]) -> str:
    """Jobs by rule, with their wildcards as far as there is room."""
    rules: dict[str, list[str]] = {}
    for job in jobs:
        rules.setdefault(job.rule.name, []).append(", ".join(job.wildcards))
    return ", ".join(f"{rule} ({_some(whose)})" if any(whose) else rule for rule, whose in rules.items())


def _some(wildcards: list[str]) -> str:
    listed = "; ".join(wildcards)
    if len(wildcards) <= SHOWN and len(listed) <= ROOM:
        return listed
    return f"{len(wildcards)} jobs" if len(wildcards) > 1 else "1 job"


def _few(files: Any) -> str:
    names = sorted(map(str, files))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def main(arguments: Sequence[str]) -> int:
    """Command line entry: names first, then what Snakemake is called with."""
    end = next((at for at, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    names = list(arguments[:end])
    with planned(arguments[end:], [name for name in names if "/" in name]) as plan:
        for line in told(plan, names):
            print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
