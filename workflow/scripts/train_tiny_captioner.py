"""Build a tiny checkpoint of one captioner's architecture and train it on the training captions."""

import tempfile
from typing import TYPE_CHECKING

from retcap import plugins
from retcap.captions import files
from retcap.jobs import job
from retcap.pictures.images import ImagePack
from retcap.terminal.progress import meter
from retcap.worlds import recipes
from retcap.worlds.train_tiny_captioner import train_tiny

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run, tempfile.TemporaryDirectory() as untrained:
    plugin = plugins.load("captioners", snakemake.params.captioner)
    recipe = recipes.load(snakemake.params.captioner)
    pairs = files.read_items(snakemake.input.pairs)
    rows = [(pair.image_key, pair.query, text) for pair in pairs.itertuples() for text in pair.references]
    recipe.build(untrained, sorted({text for row in rows for text in row[1:]}), snakemake.params.seed)
    result = train_tiny(
        plugin,
        untrained,
        rows,
        ImagePack(snakemake.input.pack),
        out=run.out.model,
        steps=snakemake.params.training["steps"] or recipe.STEPS,
        batch_size=snakemake.params.training["batch_size"],
        learning_rate=snakemake.params.training["learning_rate"],
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        policy=snakemake.params.image_policy,
        prompt_set=snakemake.params.prompt,
        end_of_answer=getattr(recipe, "END_OF_ANSWER", None),
        progress=meter(f"training a tiny {snakemake.params.captioner}", "step"),
    )
    files.write_json(run.out.history, result)
