"""Find the nearest passages of every query, exactly; compare approximate indexes with that where asked to."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from retcap import job, search
from retcap.retrieval import trec
from retcap.search_approximate import IndexSettings, compare_indexes
from retcap.shards import Vectors

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    options, threads = snakemake.params.search, snakemake.threads
    queries, passages = (Vectors.open(list(part)) for part in (snakemake.input.queries, snakemake.input.passages))
    # every row of a repeated passage id stays: which of them count is for the scoring to say
    hits = search.exact_search(queries, passages, options["depth"], options["memory_mb"], threads, collapse=False)
    search.write_hits(run.out.hits, hits, queries, passages)
    table = pq.read_table(Path(snakemake.input.data) / "test" / "queries.parquet")
    trec.write_run(run.out.run, table, pq.read_table(run.out.hits), snakemake.params.encoder)
    wanted = [IndexSettings(kind) for kind in ("flat", *options["approximate"])]  # flat: how fast exact search is
    depth, memory_mb = min(10, options["depth"]), options["memory_mb"]
    found = compare_indexes(queries, passages, hits, depth, wanted, threads, memory_mb) if wanted[1:] else []
    run.out.indexes.write_text(json.dumps(found), encoding="utf-8")
