"""Write the report page."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from retcap import job, provenance
from retcap.report import CaptioningInputs, ReportInputs, build_report

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    found, params = snakemake.input, snakemake.params
    commit, dirty = provenance.git_state()
    inputs = ReportInputs(
        experiment=params.experiment,
        title=params.title,
        created=time.strftime("%Y-%m-%d %H:%M"),
        commit=commit,
        dirty=bool(dirty),
        captioning=CaptioningInputs(
            summary=Path(found.summary),
            scores=dict(zip(params.systems, map(Path, found.scores), strict=True)),
            captions=dict(zip(params.systems, map(Path, found.captions), strict=True)),
            items=Path(found.pairs),
            image_pack=Path(found.pack),
            coverage=Path(found.coverage),
            quarantine=Path(found.quarantine),
            max_new_tokens=params.max_new_tokens,
            examples=params.examples,
        ),
        provenance=Path(params.logs),
        config=Path(found.config),
    )
    run.out.page.write_text(build_report(inputs), encoding="utf-8")
