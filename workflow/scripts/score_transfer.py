"""Score every classifier on the features of one set by one encoder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.transfer import study
from retcap.transfer.scoring import Settings

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    shifts = dict(zip(snakemake.params.shifts, map(Path, snakemake.input.shifts), strict=True))
    record, places = study.score(Path(snakemake.input.features), shifts, Settings(**snakemake.params.settings))
    run.out.record.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    places.to_parquet(run.out.places)
