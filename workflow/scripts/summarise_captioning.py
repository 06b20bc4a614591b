"""Sum up the captioning study over all models and baselines, with true counts."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap import job
from retcap.captioning import summary

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    paths = [Path(path) for path in snakemake.input.metrics]
    result = summary.summarise(paths, snakemake.params.models, snakemake.params.baselines)
    summary.write(result, run.out.summary)
