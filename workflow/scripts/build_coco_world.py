"""Draw the demo's captioned pictures in the layout of COCO, and train a small GPT-2 on their captions."""

from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.terminal.progress import meter
from retcap.worlds.coco import build, language_model

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    own, out = snakemake.params.world, run.out.world
    build.write(out, build.World(own["train"], own["valid"], own["test"]), own["seed"])
    language_model.pretrain(
        out / "gpt2",
        build.captions(out),
        steps=own["language_steps"],
        seed=own["seed"],
        threads=snakemake.threads,
        progress=meter("training a small GPT-2", "step"),
    )
