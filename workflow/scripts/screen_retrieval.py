"""Apply the policy for missing and broken pictures to the splits of one data set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap import job
from retcap.retrieval.screening import screen

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    found = snakemake.input
    report = screen(
        Path(found.data), Path(found.pack), run.out.data, dataset=snakemake.params.dataset, **snakemake.params.policy
    )
    run.out.counts.write_text(json.dumps(report, indent=1), encoding="utf-8")
