"""Put the captions of one model's shards together, in the order of the requests."""

from typing import TYPE_CHECKING

import pandas as pd

from retcap.captioning import outcome
from retcap.captions import files
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    parts = pd.concat([files.read_captions(path) for path in snakemake.input.captions])
    wanted = list(files.read_requests(snakemake.input.requests)["item_id"])
    files.check_same_items(run.out.captions, set(wanted), set(parts["item_id"]))
    captions = parts.set_index("item_id").loc[wanted].reset_index()
    files.write_captions(run.out.captions, captions)
    files.write_json(
        run.out.outcome, outcome.merged([outcome.read(path) for path in snakemake.input.outcomes], captions)
    )
