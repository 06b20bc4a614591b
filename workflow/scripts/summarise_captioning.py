"""Sum up the captioning study over all models and baselines: true counts, and which differences hold."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.analysis import compare
from retcap.captioning import summary
from retcap.captioning.differences import differences, rank_groups, read_tables
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=True) as run:
    found, params = snakemake.input, snakemake.params
    systems = params.models + params.baselines
    paths, scores = (dict(zip(systems, files, strict=True)) for files in (found.metrics, found.scores))
    failed = {name: run.failed[path].why for name, path in paths.items() if path in run.failed}
    good = {name: Path(path) for name, path in paths.items() if name not in failed}
    first_look = json.loads(Path(found.coverage).read_text(encoding="utf-8")).get("first_look")
    result = summary.summarise(good, params.models, params.baselines, failed, params.split, first_look)
    summary.write(result, run.out.summary)
    tables = read_tables(result, scores)
    gains = differences(result, tables, params.dataset, draws=params.draws, seed=params.seed)
    ranked = rank_groups(result, tables, gains, draws=params.draws, seed=params.seed)
    compare.write(run.out.differences, gains)
    compare.write_table(run.out.differences_csv, gains)
    compare.write_table(run.out.ranks, ranked)
