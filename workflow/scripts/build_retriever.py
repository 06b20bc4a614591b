"""Build a retriever on its backbone, untrained."""

import json
from typing import TYPE_CHECKING

from retcap.clip import side
from retcap.jobs import job
from retcap.retriever import config
from retcap.retriever.model import RetrieverModel

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    chosen, params = snakemake.params.backbone, snakemake.params
    source = snakemake.input.get("backbone") or chosen["checkpoint"]
    towers = side.load(chosen, source)
    whole = {f"backbone_{part}": count for part, count in towers.parameter_counts().items()}  # `build` cuts them
    frozen = {f"{tower}_frozen": True for tower in params.freeze}
    try:
        settings = config.from_mapping({"layer_strategy": params.layer_strategy, **params.cell, **frozen})
        model = RetrieverModel.build(settings, towers, seed=params.seed)
    except ValueError as error:
        raise ValueError(f"retrieval.retrievers.{params.retriever}: {error}") from error
    model.save_pretrained(run.out.model)
    run.out.parameters.write_text(json.dumps(model.parameter_counts() | whole), encoding="utf-8")
