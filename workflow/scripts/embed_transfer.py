"""Features of one set by one encoder: vectors of its pictures, prompts and captions."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.transfer import encoders, features, sets

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params, reading = snakemake.params, snakemake.params.reading
    encoder = encoders.load(
        params.encoder, snakemake.input.get("model"), params.backbone, run.device, **params.embedding or {}
    )
    source = Path(reading["folder"]) if reading["folder"] else None
    own = {name: reading[name] for name in ("templates", "metric", "train_per_class")}
    features.embed(run.out.features, sets.load(reading["plugin"]), source, encoder, threads=run.threads, own=own)
