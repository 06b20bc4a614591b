"""Draw the panorama world: pictures, queries and captions in the QuIC-360 file format."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from retcap import plugins
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run, tempfile.TemporaryDirectory(dir=run.out.train.parent) as folder:
    numbers = {name: snakemake.params[name] for name in ("train_images", "test_images", "seed")}
    plugins.load("datasets", "panorama_world").build(Path(folder), **numbers)
    for name, part in (("train", "train.csv"), ("test", "test.csv"), ("images", "images")):
        (Path(folder) / part).rename(getattr(run.out, name))
