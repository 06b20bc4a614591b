"""Count in how many pairs' references each n-gram occurs, pictures or not: the idf of CIDEr, frozen on the split."""

from typing import TYPE_CHECKING

from retcap.captions import files, frequencies
from retcap.captions.context import Context
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run, Context() as context:
    references = frequencies.documents(files.read_rows(snakemake.input.rows).to_dict("records"))
    frequencies.write(frequencies.build(references, context), run.out.frequencies)
