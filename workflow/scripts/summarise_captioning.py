"""Sum up the captioning study over all models and baselines, with true counts."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.captioning import summary
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=True) as run:
    params = snakemake.params
    paths = dict(zip(params.models + params.baselines, snakemake.input.metrics, strict=True))
    failed = {name: run.failed[path].why for name, path in paths.items() if path in run.failed}
    good = {name: Path(path) for name, path in paths.items() if name not in failed}
    result = summary.summarise(good, params.models, params.baselines, failed, params.split)
    summary.write(result, run.out.summary)
