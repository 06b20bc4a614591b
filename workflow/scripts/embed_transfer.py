"""Features of sets by encoders: vectors of their pictures, prompts and captions."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.features import encoders, frozen, image_sets, trained_on
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params, model = snakemake.params, snakemake.input.get("model")
    encoder = cache(lambda name: encoders.load(name, model, params.backbone, run.device, **params.embedding))
    for one in params.readings:
        source = Path(one["folder"]) if one["folder"] else None
        own = {name: one[name] for name in ("templates", "metric", "train_per_class")}
        folder = run.out.features / one["encoder"] / one["set"]
        plugin = image_sets.load(one["plugin"])
        frozen.embed(folder, plugin, source, encoder(one["encoder"]), threads=run.threads, own=own)
    if params.trained_on is not None:
        first = encoder(params.readings[0]["encoder"])  # the backbone
        trained_on.write(run.out.features, Path(params.trained_on), first, threads=run.threads)
