"""Read all splits of one M2KR data set; hold validation rows out where it has none."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap import plugins
from retcap.jobs import job
from retcap.retrieval.study import normalise_set

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    plugin = plugins.load("datasets", snakemake.params.dataset)
    rejects = Path(snakemake.log[0]).with_suffix(".quarantine.jsonl")
    normalise_set(plugin, run.out.data, snakemake.params.settings, snakemake.params.seed, rejects)
