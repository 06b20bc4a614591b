"""One table of the retrieval study: all systems and data sets, paired differences, parameter counts."""

import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from retcap.analysis import compare
from retcap.jobs import job
from retcap.retrieval import summary
from retcap.retrieval.differences import differences
from retcap.retrieval.headline import headline_k
from retcap.retrieval.trainings import SPREAD, Training, spread

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=True) as run:
    found, params = snakemake.input, snakemake.params
    places = list(product(params.encoders, params.datasets))
    scored = summary.gather(places, found.results, found.per_query, run.failed)
    k, made = headline_k(params.k), {name: Training(*one) for name, one in params.trainings.items()}
    tables = [summary.table(scored.results), summary.failed_rows(scored.failed)]
    tables += [summary.published_rows(params.datasets)] if params.published else []
    pd.concat([table for table in tables if len(table)]).to_csv(run.out.table, index=False)
    pd.DataFrame(spread(scored.results, made), columns=list(SPREAD)).to_csv(run.out.trainings, index=False)
    once = {name: own for name, own in scored.per_query.items() if name not in made or name in params.retrievers}
    gains = differences(once, params.retrievers, k, draws=params.draws, seed=params.seed)
    compare.write(run.out.differences, gains)
    paths = dict(zip(params.retrievers, found.parameters, strict=True))
    built = {name: path for name, path in paths.items() if path not in run.failed}
    counts = {name: json.loads(Path(path).read_text(encoding="utf-8")) for name, path in built.items()}
    summary.write(run.out.parameters, counts)
