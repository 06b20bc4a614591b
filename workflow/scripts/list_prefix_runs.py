"""List the runs of the grid: a table for people, and all that decides each of them."""

import json
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.prefix import grid

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    run.out.table.write_text(grid.table(snakemake.params.runs), encoding="utf-8")
    run.out.runs.write_text(json.dumps(snakemake.params.runs, indent=1) + "\n", encoding="utf-8")
