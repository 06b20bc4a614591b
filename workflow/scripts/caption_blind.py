"""One fixed caption per query, which never sees the image: the blind baseline."""

from typing import TYPE_CHECKING

from retcap import plugins
from retcap.captioning import outcome
from retcap.captions import baselines, files, reading
from retcap.files import jsonl
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    plugin, train = plugins.load("datasets", snakemake.params.dataset), snakemake.input.get("train")
    training = reading.training(plugin, train, snakemake.params.columns) if train else None
    pairs = files.read_items(snakemake.input.pairs)
    captions = baselines.blind(pairs, training and training.captions(), seed=snakemake.params.seed)
    files.write_captions(run.out.captions, captions)
    jsonl.write(run.out.quarantine, training.rejected if training else [])
    files.write_json(run.out.outcome, outcome.baseline("blind", {"training": training and training.facts()}))
