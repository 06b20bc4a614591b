"""Find the nearest passages of every query, exactly."""

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from retcap.features.vectors import Vectors
from retcap.jobs import job
from retcap.retrieval import trec
from retcap.search import exact as search

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params, threads = snakemake.params, snakemake.threads
    queries, passages = (Vectors.open(list(part)) for part in (snakemake.input.queries, snakemake.input.passages))
    # every row of a repeated passage id stays: which of them count is for the scoring to say
    hits = search.exact_search(queries, passages, params.depth, params.memory_mb, threads, collapse=False)
    search.write_hits(run.out.hits, hits, queries, passages)
    table = pq.read_table(Path(snakemake.input.data) / "test" / "queries.parquet")
    trec.write_run(run.out.run, table, pq.read_table(run.out.hits), params.encoder)
