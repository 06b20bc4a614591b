"""Vectors of all captioned pictures by the backbone, each picture once."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.features import encoders, frozen, image_sets
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params, found = snakemake.params, snakemake.input
    encoder = encoders.load("backbone", found.get("model"), params.backbone, run.device, **params.embedding)
    plugin, pictures = image_sets.load(params.dataset), encoders.PicturesOnly(encoder)
    frozen.embed(run.out.features, plugin, Path(params.folder), pictures, threads=run.threads)
