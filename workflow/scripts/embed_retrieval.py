"""Embed one shard of the test queries and of the corpus with one system."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.jobs import job
from retcap.retrieval import systems

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    params, test = snakemake.params, Path(snakemake.input.data) / "test"
    backbone = params.backbone or {}
    source = snakemake.input.get("model") or backbone.get("checkpoint")
    model = systems.load(params.encoder, source, backbone, run.device)
    dataset, pack = snakemake.wildcards.dataset, snakemake.input.get("pack")
    for side, name in (("query", "queries"), ("passage", "passages")):
        out, ids = getattr(run.out, name), getattr(run.out, f"{side}_ids")
        place = systems.Place(side, test / f"{name}.parquet", Path(pack) if pack else None, out, ids)
        systems.embed(
            model,
            place,
            params.embedding,
            shard=params.shard,
            dataset=dataset,
            seed=params.seed,
            threads=snakemake.threads,
            progress=partial(run.progress, label=f"{name} of {dataset} by {params.encoder}", unit="batch"),
        )
