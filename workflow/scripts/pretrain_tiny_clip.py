"""Pre-train the demo's tiny CLIP on the pictures and captions of the retrieval world."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.clip.pretraining import pretrain_tiny_clip
from retcap.jobs import job
from retcap.retriever import pairs
from retcap.terminal.progress import meter

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    world = Path(snakemake.input.world)
    show = meter("pre-training the tiny CLIP", "step")
    settings = dict(snakemake.params.training)
    pictures, captions = pairs.read(world / "pairs.csv", settings.pop("side_px"))
    history = pretrain_tiny_clip(
        run.out.model,
        pictures,
        captions,
        tokenizer_texts=pairs.texts(world),
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        progress=lambda step, steps, loss: show(step, steps),
        **settings,
    )
    run.out.history.write_text(json.dumps(history), encoding="utf-8")
