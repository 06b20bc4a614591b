"""One table of the retrieval study: all systems and data sets, paired differences, parameter counts."""

import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from retcap.jobs import job
from retcap.retrieval import comparison
from retcap.retrieval.headline import headline_k
from retcap.retrieval.trainings import SPREAD, Training, spread

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=True) as run:
    found, params = snakemake.input, snakemake.params
    places = list(product(params.encoders, params.datasets))
    scored = comparison.gather(places, found.results, found.per_query, run.failed)
    k, made = headline_k(params.k), {name: Training(*one) for name, one in params.trainings.items()}
    tables = [comparison.table(scored.results), comparison.failed_rows(scored.failed)]
    tables += [comparison.published_rows(params.datasets)] if params.published else []
    pd.concat([table for table in tables if len(table)]).to_csv(run.out.table, index=False)
    pd.DataFrame(spread(scored.results, made), columns=list(SPREAD)).to_csv(run.out.trainings, index=False)
    once = {name: own for name, own in scored.per_query.items() if name not in made or name in params.retrievers}
    differences = comparison.differences(once, params.retrievers, k, draws=params.draws, seed=params.seed)
    comparison.write(run.out.differences, differences)
    paths = dict(zip(params.retrievers, found.parameters, strict=True))
    built = {name: path for name, path in paths.items() if path not in run.failed}
    counts = {name: json.loads(Path(path).read_text(encoding="utf-8")) for name, path in built.items()}
    comparison.write(run.out.parameters, counts)
