"""Clean the captions of one system; raw and cleaned text are both kept."""

from typing import TYPE_CHECKING

from retcap.captions import files
from retcap.captions.clean import clean_captions
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    captions = clean_captions(files.read_captions(snakemake.input.captions))
    files.check_same_pictures(files.read_requests(snakemake.input.requests), captions)
    files.write_captions(run.out.captions, captions)
    files.write_predictions(run.out.predictions, files.read_rows(snakemake.input.rows), captions)
