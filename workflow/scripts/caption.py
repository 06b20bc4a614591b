"""Caption every (image, query) pair with one model; a model that fails is recorded, not raised."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap import job, messages
from retcap.captioning import files, outcome
from retcap.captioning.study import Study, caption_study

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    model = snakemake.input.get("model")
    study = Study(
        pairs=Path(snakemake.input.pairs),
        pack=Path(snakemake.input.pack),
        model=Path(model) if model else None,
        scratch=run.scratch,
        **dict(snakemake.params.items()),
    )
    killed = snakemake.resources.attempt > 1
    captions, result = outcome.lost(study) if killed else caption_study(study, run.device)
    files.write_captions(run.out.captions, captions)
    files.write_json(run.out.outcome, result)
    if result["status"] == "completed":
        run.discard_scratch()
    else:
        messages.tell("failure", outcome.line(result))
