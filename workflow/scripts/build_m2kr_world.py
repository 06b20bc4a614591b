"""Draw the retrieval world: the four M2KR sets in their published formats."""

from typing import TYPE_CHECKING

from retcap import plugins
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    plugins.load("datasets", "m2kr_world").build(run.out.world, seed=snakemake.params.seed)
