"""Do our metrics agree with people? Their correlation with ratings of captions."""

from typing import TYPE_CHECKING

from retcap.captions import agreement, files, judgements
from retcap.captions.context import Context
from retcap.captions.judge import parser
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=["spice"]) as run:
    path = snakemake.input.judgements
    judged = judgements.read(path)
    with Context(corenlp=parser(snakemake.input.get("spice"), run.failed)) as context:
        found = agreement.agreement(judged, path, snakemake.params.metrics, context)
    files.write_json(run.out.agreement, found)
    for key, reason in agreement.not_computed(found).items():
        run.try_again(f"{key} was not computed: {reason}")
