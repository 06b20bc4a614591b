"""Write the report page."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job, provenance
from retcap.report import ReportInputs, build_report
from retcap.report.studies import captioning, known, retrieval

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
        captioning=captioning(found, params, run.failed) if found.get("summary") else None,
        retrieval=retrieval(found, params, run.failed) if found.get("results") else None,
        provenance=Path(params.logs),
        known=known(params),
        config=Path(found.config),
    )
    run.out.page.write_text(build_report(inputs), encoding="utf-8")
