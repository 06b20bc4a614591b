"""Read a caption CSV: group it to (image, query) pairs, decode every picture once, quarantine what cannot be used."""

from typing import TYPE_CHECKING

from retcap.captions.prepare import Outputs, prepare
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params = {name: value for name, value in snakemake.params.items() if name not in ("code", "pictures")}
    own = run.out
    out = Outputs(own.pairs, own.requests, own.rows, own.pack, own.quarantine, own.coverage)
    prepare(snakemake.input.csv, out, workers=snakemake.threads, **params)
