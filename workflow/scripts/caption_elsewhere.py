"""Captions that were made elsewhere, matched to the pairs: one more system beside the models."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap.captioning import outcome
from retcap.captions import elsewhere, files
from retcap.files import jsonl
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    found, params = snakemake.input, snakemake.params
    items, rows = files.read_items(found.pairs), files.read_rows(found.rows)
    taken = elsewhere.take(Path(found.file), params.columns, params.name, items, rows)
    files.write_captions(run.out.captions, taken.captions)
    jsonl.write(run.out.quarantine, taken.rejected)
    files.write_json(run.out.outcome, outcome.elsewhere(params.name, taken.about))
