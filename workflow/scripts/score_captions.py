"""Score the captions of one system with every metric."""

from typing import TYPE_CHECKING

from retcap import job
from retcap.captioning import files
from retcap.captioning.judge import judge

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=["captions", "outcome", "frequencies", "human"]) as run:
    judged = judge(snakemake.wildcards.system, snakemake.input, snakemake.params, run.failed)
    files.write_json(run.out.metrics, judged.result)
    judged.table.to_parquet(run.out.scores)
    for reason, wanted in judged.again:
        run.try_again(reason, job=wanted)
