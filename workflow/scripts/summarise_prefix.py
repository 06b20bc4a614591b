"""Sum up prefix captioning: baselines, scores over seeds, which differences hold and what the design can see."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.analysis import compare
from retcap.features import frozen
from retcap.jobs import job
from retcap.prefix import scoring, summary

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=True) as run:
    found, params = snakemake.input, snakemake.params
    settings, spice = scoring.Settings(**params.scoring), scoring.spice_parser(found.get("spice"), run.failed)
    scoring.score_baselines(run.out.baselines, frozen.read(Path(found.features)), settings, spice)
    folders = [run.out.baselines, *(Path(path) for path in found.scores if path not in run.failed)]
    models = [Path(path) for path in found.models if path not in run.failed]
    grid = summary.read(found.runs, folders, models)
    how = {"draws": settings.bootstrap_draws, "seed": settings.seed}
    result, gains = summary.summarise(grid, params.dataset, params.compare, params.visible, **how)
    run.out.summary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    compare.write(run.out.differences, gains)
    summary.table(grid).to_csv(run.out.table, index=False)
