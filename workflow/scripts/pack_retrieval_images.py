"""Decode and resize every distinct image of one data set, once."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.pictures import images
from retcap.pictures.pixels import Resize
from retcap.retrieval.m2kr.pictures import inside, picture_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    pack, roots = snakemake.params.pack, snakemake.params.settings["roots"]
    images.build(
        run.out.pack,
        picture_files(Path(snakemake.input.data), roots),
        Resize(pack["resize"], pack["side_px"], pack["side_px"], pack["shrink_on_load"]),
        encoding=pack["encoding"],
        workers=snakemake.threads,
        check=inside(roots),
        scratch=run.scratch,
    )
