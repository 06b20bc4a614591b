"""Look for leaks between the splits of one data set, before anything is trained on it."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap import plugins
from retcap.jobs import job
from retcap.retrieval.splits.audit import audit, check, write_report
from retcap.retrieval.study import split_folders

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params = snakemake.params
    report = audit(
        split_folders(Path(snakemake.input.data)),
        dataset=params.dataset,
        fail_on=params.fail_on,
        known_leaks=plugins.load("datasets", params.dataset).KNOWN_LEAKS,
        pack=snakemake.input.pack,
        near_duplicate_bits=params.near_duplicate_bits,
    )
    write_report(report, run.out.audit)
    check(report)
