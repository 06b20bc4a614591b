"""Stop before hours of packing where too many lines were rejected, or too many pictures are missing."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.retrieval.m2kr.readiness import check

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params = snakemake.params
    found = check(
        Path(snakemake.input.data),
        params.settings["roots"],
        dataset=params.dataset,
        max_rejected=params.max_rejected,
        max_share=params.max_share,
        threads=4 * snakemake.threads,  # they wait for the disk
    )
    run.out.checks.write_text(json.dumps(found, indent=1), encoding="utf-8")
