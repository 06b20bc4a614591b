import os
import sys

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))  # jobs inherit it, in every environment
DEFAULTS = os.path.relpath(Path(workflow.basedir) / "config/config.yaml")  # also from another working directory


configfile: DEFAULTS


include: "workflow/rules/common.smk"


pathvars:
    **SHARED,
    results=f"results/{config['experiment']}",
    logs=f"results/{config['experiment']}/logs",
    benchmarks=f"results/{config['experiment']}/benchmarks",


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
    closing.say(config, generated_captions())
    stop_if_jobs_failed()


onerror:
    closing.say(config, generated_captions())


save_cache()  # of the code digests that the rules above asked for
