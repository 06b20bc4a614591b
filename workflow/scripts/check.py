"""Give the run its exit status: fail, after everything else is done, when a job failed or a metric did not come."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.jobs.failures import verdict

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=True) as run:
    summaries = [json.loads(Path(path).read_text(encoding="utf-8")) for path in snakemake.input.summaries]
    found = verdict.reach(run.failed.values(), summaries)
    if found.failures:
        raise RuntimeError(verdict.text(found, snakemake.input.report))
    run.out.verdict.write_text(json.dumps({"failed": 0, "notes": found.notes}, indent=1), encoding="utf-8")
