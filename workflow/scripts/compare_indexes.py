"""Measure approximate indexes against the exact hits; they change no score."""

import json
from typing import TYPE_CHECKING

from retcap.features.vectors import Vectors
from retcap.jobs import job
from retcap.search import exact as search
from retcap.search.approximate import IndexSettings, compare_indexes

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    options = snakemake.params.search
    queries, passages = (Vectors.open(list(part)) for part in (snakemake.input.queries, snakemake.input.passages))
    hits = search.read_hits(snakemake.input.hits, queries, passages)
    wanted = [IndexSettings(kind) for kind in ("flat", *options["approximate"])]  # flat: how fast exact search is
    k, memory_mb = min(10, options["depth"]), options["memory_mb"]
    found = compare_indexes(queries, passages, hits, k, wanted, snakemake.threads, memory_mb) if wanted[1:] else []
    run.out.indexes.write_text(json.dumps(found), encoding="utf-8")
