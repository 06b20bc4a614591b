"""Captions that people wrote: one reference of each pair, held out of the references it is scored against."""

from typing import TYPE_CHECKING

from retcap.captioning import outcome
from retcap.captions import baselines, files
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    pairs, params = files.read_items(snakemake.input.pairs), snakemake.params
    captions = baselines.human(pairs, seed=params.seed, draws=params.draws)
    files.write_captions(run.out.captions, captions)
    files.write_json(run.out.outcome, outcome.baseline("human", {}))
