"""Draw the demo's classification set with its shifts, as tar files in the layout of CLIP_benchmark."""

from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.worlds.transfer.build import World, write

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    own = snakemake.params.world
    write(run.out.world, World(own["train"], own["valid"], own["test"]), own["seed"])
