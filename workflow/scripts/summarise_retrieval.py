"""One table of the retrieval study: all systems and data sets, paired differences, parameter counts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from retcap import job
from retcap.retrieval import comparison
from retcap.retrieval.headline import headline_k

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params = snakemake.params
    results = [json.loads(Path(path).read_text(encoding="utf-8")) for path in snakemake.input.results]
    per_query: dict[str, dict[str, Path]] = {}
    for result, path in zip(results, snakemake.input.per_query, strict=True):
        per_query.setdefault(result["system"], {})[result["dataset"]] = Path(path)
    k = headline_k(results[0]["ks"])
    datasets = list(dict.fromkeys(result["dataset"] for result in results))
    tables = [comparison.table(results), *([comparison.published_rows(datasets)] if params.published else [])]
    pd.concat(tables).to_csv(run.out.table, index=False)
    found = comparison.differences(per_query, params.retrievers, k, draws=params.draws, seed=params.seed)
    comparison.write(run.out.differences, found)
    counts = [json.loads(Path(path).read_text(encoding="utf-8")) for path in snakemake.input.parameters]
    comparison.write(run.out.parameters, dict(zip(params.retrievers, counts, strict=True)))
