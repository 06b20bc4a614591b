"""Caption the test pictures with the runs of one job."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.features import frozen
from retcap.jobs import job
from retcap.prefix import grid, speaking

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    found = snakemake.input
    runs = grid.known(found.runs, snakemake.wildcards.runs, "run")
    how = {"batch_size": snakemake.params.batch_size, "device": run.device}
    speaking.caption_runs(run.out.captions, runs, found.models, frozen.read(Path(found.features)), **how)
