"""Score the captions of the runs of one job."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.features import frozen
from retcap.jobs import job
from retcap.prefix import scoring

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=["spice"]) as run:
    found, settings = snakemake.input, scoring.Settings(**snakemake.params.scoring)
    spice = scoring.spice_parser(found.get("spice"), run.failed)
    seen = frozen.read(Path(found.features))
    for reason in scoring.score_runs(run.out.scores, Path(found.captions), seen, settings, spice)[:1]:
        run.try_again(f"not computed: {reason}", same=reason)
