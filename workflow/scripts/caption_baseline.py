"""Captions that no model made: a held-out human reference, or one fixed caption per query."""

from pathlib import Path
from typing import TYPE_CHECKING

from retcap import job, plugins
from retcap.captioning import baselines, files, outcome

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    pairs = files.read_items(snakemake.input.pairs)
    if snakemake.params.baseline == "human":
        captions = baselines.human(pairs, seed=snakemake.params.seed)
    else:
        dataset = plugins.load("datasets", snakemake.params.dataset)
        train = snakemake.input.get("train")
        training = dataset.captions(Path(train), **snakemake.params.columns) if train else None
        captions = baselines.blind(pairs, training, seed=snakemake.params.seed)
    files.write_captions(run.out.captions, captions)
    files.write_json(run.out.outcome, outcome.baseline(snakemake.params.baseline))
