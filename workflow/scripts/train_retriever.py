"""Train a retriever on all data sets; a killed run goes on where it stopped."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.contrastive import training
from retcap.contrastive.settings import loader_workers, ranks_of
from retcap.jobs import job
from retcap.retriever.data import Source
from retcap.retriever.validation import ValidationFiles

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    weights, settings = snakemake.params.weights, dict(snakemake.params.training)
    gpus = ranks_of(settings.pop("gpus"), run.devices)
    settings["workers"] = loader_workers(settings["workers"], snakemake.threads, gpus)
    sets = list(zip(weights, map(Path, snakemake.input.data), snakemake.input.packs, strict=True))
    tables = ("queries.parquet", "passages.parquet")
    result = training.launch(
        training.TrainingJob(
            initial=str(snakemake.input.model),
            train=[
                Source(name, *(str(data / "train" / table) for table in tables), pack=pack, weight=weights[name])
                for name, data, pack in sets
            ],
            validation=[
                ValidationFiles(name, *(str(data / "valid" / table) for table in tables), pack=pack)
                for name, data, pack in sets
            ],
            scratch=str(run.scratch),
            output=str(run.out.model),
            best_output=str(run.out.best) if hasattr(run.out, "best") else None,
            seed=snakemake.params.seed,
            label=f"training {snakemake.wildcards.retriever}",
            device=run.device,
            **settings,
        ),
        gpus=gpus,
    )
    run.out.curves.write_text(json.dumps(result), encoding="utf-8")
    run.discard_scratch()
