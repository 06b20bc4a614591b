"""Look for some of the pictures that the files of one data set name, before they are read."""

import json
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.retrieval.m2kr.probe import probe

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params = snakemake.params
    found = probe(params.files, params.settings["roots"], dataset=params.dataset, max_share=params.max_share)
    run.out.probe.write_text(json.dumps(found, indent=1), encoding="utf-8")
