"""What all rule files share, from the resolved configuration and the plans of the studies to what Snakemake calls."""

import os

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from retcap import studies
from retcap.config import ConfigError, overwriting, resolve
from retcap.jobs import bytecode, surroundings
from retcap.jobs.failures import again as tries
from retcap.plan import ALONE, Plan
from retcap.report import studies as sections
from retcap.reruns import params
from retcap.reruns.digest import save_cache
from retcap.reruns.replanning import follow_no_ancient_inputs
from retcap.terminal import closing


def stop(message):
    """End with this message alone: an exception would be printed with lines of this file, where nothing is wrong."""
    logger.error(message)
    raise SystemExit(1)


def resolved_config():
    """The validated configuration; stops the workflow with all problems at once."""
    given = [min(os.path.relpath(file), os.path.abspath(file), key=len) for file in workflow.overwrite_configfiles]
    settings = workflow.config_settings
    origin = ((), {}, ()) if FROM_MODULE else ([DEFAULTS, *given], settings.config, settings.config_args)
    try:
        found = resolve(config, *origin)
    except ConfigError as error:
        stop(str(error))
    problems = surroundings.problems(HERE.parent, found["experiment"])
    if problems:
        stop("\n".join(problems))
    replaced = overwriting.warning(found, config if FROM_MODULE else settings.overwrite_config)
    if replaced and workflow.is_main_process:
        logger.warning(replaced)
    return found


def stop_if_renamed():
    """Notes of failures, logs and checkpoints of killed jobs are found by the names of their rules."""
    renamed = workflow.modifier.modify_rulename
    for name in workflow.modifier.rule_whitelist or ["caption"]:
        if renamed(name) != name:
            stop(
                f"`use rule` calls `{name}` of retcap `{renamed(name)}`, and its rules keep their names. Leave out `as`."
            )


def memory(amount):
    """Function of wildcards and attempt: megabytes, a second attempt asks for twice as many. `amount` may be a function."""
    return lambda wildcards, attempt: attempt * (amount(wildcards) if callable(amount) else amount)


def own_text(path):
    """Function of wildcards: a setting that is a text of the user's own, in which Snakemake must not expand braces."""
    text = lookup(path, within=config)
    return lambda wildcards: text


def ancient_unless(generated, path):
    """An input whose time says nothing, where another param tells what changed in it."""
    return path if generated else ancient(path)


def attempt(wildcards, attempt):
    """Number of the attempt: a job that may fail alone records the death of an earlier one."""
    return attempt


def again(rule):
    """Function of wildcards: what was noted when this job last failed; a new note is a changed param, so it runs."""
    return lambda wildcards: tries.value(plan.results, rule, dict(wildcards.items()))


def stop_if_jobs_failed():
    """The exit status of a run without the rule `check`, such as one of a single target, in which jobs failed alone."""
    new = [job for job, text in tries.failures(plan.results).items() if FAILED_BEFORE.get(job) != text]
    if new:
        raise WorkflowError(
            f"{len(new)} jobs failed alone ({', '.join(new)}): see their logs below {plan.results}/logs."
        )


def report_inputs(wildcards):
    """What the report page is made of, by name; the parts of the studies that run."""
    return {"config": f"{plan.results}/config.yaml"} | sections.files(studies.running(plans))


def check_inputs(wildcards):
    """What must be there before the run is called good: the report, and whatever may have failed alone."""
    return studies.checked(plans) | {"report": f"{plan.results}/report.html"}


bytecode.keep_for_jobs()
surroundings.quote_python()
follow_no_ancient_inputs()
FROM_MODULE = workflow.modifier.skip_configfile  # `module retcap: config: ...` of another workflow
stop_if_renamed()
resolved = resolved_config()
if FROM_MODULE:
    config = {}  # the other workflow's stays as it is
config.clear()  # the order of the keys is the model's from here on, wherever they came from
config.update(resolved)
plan = Plan(config, HERE)
plans = studies.plans(plan)
TRAINING_FIRST = 10  # the longest chain of jobs is the one through the retriever: what that waits for goes first
FAILED_BEFORE = tries.failures(plan.results)
closing.announce(plan.results)
