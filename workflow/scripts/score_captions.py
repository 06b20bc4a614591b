"""Score the captions of one system with every metric."""

from typing import TYPE_CHECKING

import numpy as np

from retcap import job
from retcap.captioning import files, frequencies, outcome, scoring
from retcap.captioning.context import Context

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run, Context(frequencies.read(snakemake.input.frequencies)) as context:
    about = outcome.read(snakemake.input.outcome)
    pairs, captions = files.read_items(snakemake.input.pairs), files.read_captions(snakemake.input.captions)
    if about["status"] == "failed":
        result, table = scoring.not_scored(len(pairs), about["reason"]), scoring.empty_table()
    else:
        scores = scoring.score_captions(pairs, captions, snakemake.params.metrics, context)
        rng = np.random.default_rng(snakemake.params.seed)
        result, table = scoring.report(scores, rng=rng, draws=snakemake.params.draws), scoring.item_table(scores)
    files.write_json(run.out.metrics, about | result)
    table.to_parquet(run.out.scores)
