"""Score every classifier on features of sets by encoders."""

from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.transfer import study
from retcap.transfer.scoring import Settings

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    settings = Settings(**snakemake.params.settings)
    for one in snakemake.params.scorings:
        record, places = study.score(one["features"], one["shifts"], settings, one["trained_on"])
        study.write(run.out.scores / one["encoder"], one["set"], record, places)
