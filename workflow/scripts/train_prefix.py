"""Train the cells of one job."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.features import frozen
from retcap.jobs import job
from retcap.prefix import cells, grid

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    wanted = grid.known(snakemake.input.runs, snakemake.wildcards.cells, "cell")
    seen, scratch = frozen.read(Path(snakemake.input.features)), cells.scratch_folder(snakemake)
    cells.train_cells(run.out.models, wanted, seen, snakemake.params, scratch=scratch, device=run.device)
