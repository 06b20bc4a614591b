"""Sum up the transfer study: the long table, which differences hold, and robustness over all encoders."""

import json
from typing import TYPE_CHECKING

import pandas as pd

from retcap.analysis import compare
from retcap.jobs import job
from retcap.transfer import summary

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=True) as run:
    params = snakemake.params
    records, places = summary.read(params.scores, run.failed)
    how = {"draws": params.draws, "seed": params.seed}
    robust = {"robustness": summary.summarise(records, places, **how)}
    run.out.summary.write_text(json.dumps(robust, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    compare.write(run.out.differences, summary.differences(records, places, **how))
    pd.DataFrame(summary.rows(records), columns=summary.COLUMNS).to_csv(run.out.table, index=False)
