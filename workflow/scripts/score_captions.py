"""Score the captions of one system with every metric."""

from typing import TYPE_CHECKING

from retcap.captions import files
from retcap.captions.judge import judge
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

MAY_LACK = ["captions", "outcome", "frequencies", "tokens", "paraphrases", "human", "spice", "clip"]

with job.start(snakemake, accept_failed=MAY_LACK) as run:
    judged = judge(snakemake.wildcards.system, snakemake.input, snakemake.params, run.failed)
    files.write_json(run.out.metrics, judged.result)
    judged.table.to_parquet(run.out.scores)
    for reason, wanted in judged.again:
        run.try_again(reason, job=wanted)
