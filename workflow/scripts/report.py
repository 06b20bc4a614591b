"""Write the report page."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job, provenance
from retcap.report.inputs import ReportInputs
from retcap.report.page import build_report
from retcap.report.studies import inputs as of_studies

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=True) as run:
    found, params = snakemake.input, snakemake.params
    commit, dirty = provenance.git_state()
    inputs = ReportInputs(
        experiment=params.experiment,
        title=params.title,
        created=time.strftime("%Y-%m-%d %H:%M"),
        commit=commit,
        dirty=bool(dirty),
        studies=of_studies(dict(found.items()), params.studies, run.failed),
        provenance=Path(params.logs),
        known=params.known,
        config=Path(found.config),
    )
    run.out.page.write_text(build_report(inputs), encoding="utf-8")
