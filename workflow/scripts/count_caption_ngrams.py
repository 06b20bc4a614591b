"""What every system is scored with, made of the references once: the idf of CIDEr, tokens, METEOR's paraphrases.

The idf counts in how many pairs' references each n-gram occurs, pictures or not: frozen on the split.
"""

from typing import TYPE_CHECKING

from retcap.captions import files, frequencies, reference_texts
from retcap.captions.context import Context
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run, Context() as context:
    references = frequencies.documents(files.read_rows(snakemake.input.rows).to_dict("records"))
    frequencies.write(frequencies.build(references, context), run.out.frequencies)
    out, meteor = run.out, snakemake.params.meteor
    reference_texts.write(references, context, out.tokens, out.paraphrases, meteor=meteor)
