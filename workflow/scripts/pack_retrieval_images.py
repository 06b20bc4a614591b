"""Decode and resize every distinct image of one data set, once."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap import images, job
from retcap.pixels import Resize
from retcap.retrieval.study import picture_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    pack = snakemake.params.pack
    files = picture_files(Path(snakemake.input.data), snakemake.params.settings["roots"])
    resize = Resize(pack["resize"], pack["side_px"], pack["side_px"])
    images.build(run.out.pack, files, resize, encoding=pack["encoding"], workers=snakemake.threads)
