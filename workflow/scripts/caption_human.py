"""A caption that a person wrote: one reference of each pair, held out of the references it is scored against."""

from typing import TYPE_CHECKING

from retcap import job
from retcap.captioning import baselines, files, outcome

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    captions = baselines.human(files.read_items(snakemake.input.pairs), seed=snakemake.params.seed)
    files.write_captions(run.out.captions, captions)
    files.write_json(run.out.outcome, outcome.baseline("human", {}))
