"""Decode and resize every distinct image of one data set, once, to one side."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.pictures import images
from retcap.pictures.pixels import Resize
from retcap.retrieval.m2kr.pictures import inside, picture_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    pack, side_px = snakemake.params.pack, snakemake.params.side_px
    roots = snakemake.params.settings["roots"]
    images.build(
        run.out.pack,
        picture_files(Path(snakemake.input.data), roots),
        Resize(pack["resize"], side_px, side_px, pack["shrink_on_load"]),
        encoding=pack["encoding"],
        workers=snakemake.threads,
        check=inside(roots),
        scratch=run.scratch,
    )
