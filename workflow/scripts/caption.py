"""Caption every (image, query) pair with one model. Pairs that failed are tried again by the next run."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.captioning import failed_pairs
from retcap.captioning.study import Study, caption_study
from retcap.captions import files
from retcap.jobs import job, provenance, scratch
from retcap.terminal import messages

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    model = snakemake.input.get("model")
    study = Study(
        requests=Path(snakemake.input.requests),
        pack=Path(snakemake.input.pack),
        model=Path(model) if model else None,
        kept=scratch.lasting(snakemake, without=["shard"]),
        **{name: value for name, value in snakemake.params.items() if name not in ("again", "asked")},
    )
    captions, result = caption_study(study, run.device)
    lost = failed_pairs.count(files.read_requests(study.requests), captions)
    reason = f"{lost.failed} of {lost.of} pairs failed"
    tried = bool(lost.failed) and run.try_again(reason, same=lost.same)
    files.write_captions(run.out.captions, captions)
    counts = {"failed": lost.failed, "of": lost.of, "first": lost.first, "tried_again": tried}
    used = provenance.peak_memory() | {"energy_j": run.energy_j}
    files.write_json(run.out.outcome, result | {"failed_pairs": counts} | used)
    if lost.failed:
        messages.tell("warning", f"{reason}, the first: {lost.first}")
