import os
import sys

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))  # jobs inherit it, in every environment
DEFAULTS = os.path.relpath(Path(workflow.basedir) / "config/config.yaml")  # also from another working directory


configfile: DEFAULTS


include: "workflow/rules/common.smk"


pathvars:
    **plan.shared,
    results=plan.results,
    logs=f"{plan.results}/logs",
    benchmarks=f"{plan.results}/benchmarks",


include: "workflow/rules/retrieval.smk"
include: "workflow/rules/captioning.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        "<results>/verdict.json",
        "<results>/config.yaml",


params.count_by_name(workflow.rules)


onsuccess:
    closing.say(config, captioning.generated)
    stop_if_jobs_failed()


onerror:
    closing.say(config, captioning.generated)


save_cache()  # of the code digests that the rules above asked for
