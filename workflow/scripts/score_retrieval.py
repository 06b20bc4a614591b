"""Score one system on one data set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from retcap.jobs import job
from retcap.retrieval import study, systems, trec
from retcap.retrieval.judging import ways

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    data, params = Path(snakemake.input.data), snakemake.params
    queries = study.test_queries(data)
    card = json.loads((data / "test" / "card.json").read_text(encoding="utf-8"))
    scored = ways.score_ways(
        queries,
        pq.read_table(data / "test" / "passages.parquet"),
        pq.read_table(snakemake.input.hits),
        params.k,
        params.dialects,
        params.seed,
        about={
            "system": params.encoder,
            "dataset": params.dataset,
            "revision": card["hash"],
            "checkpoint": systems.checkpoint(snakemake.input.get("model"), params.checkpoint),
        },
        draws=params.draws,
    )
    run.out.result.write_text(json.dumps(scored.result, indent=1), encoding="utf-8")
    pq.write_table(scored.per_query, run.out.per_query)
    trec.write_qrels(run.out.qrels, queries)
