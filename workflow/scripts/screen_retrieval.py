"""Apply the policy for missing and broken pictures to the splits of one data set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap import plugins
from retcap.jobs import job
from retcap.retrieval.splits.screening import screen

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    found, params = snakemake.input, snakemake.params
    entity = getattr(plugins.load("datasets", params.dataset), "entity", None)
    report = screen(
        Path(found.data), Path(found.pack), run.out.data, dataset=params.dataset, entity=entity, **params.policy
    )
    run.out.counts.write_text(json.dumps(report, indent=1), encoding="utf-8")
