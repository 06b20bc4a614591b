"""Train the cells of one job."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.features import frozen
from retcap.jobs import job
from retcap.prefix import running

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    cells = running.known(snakemake.input.runs, snakemake.wildcards.cells, "cell")
    seen, scratch = frozen.read(Path(snakemake.input.features)), running.scratch_folder(snakemake)
    running.train_cells(run.out.models, cells, seen, snakemake.params, scratch=scratch, device=run.device)
