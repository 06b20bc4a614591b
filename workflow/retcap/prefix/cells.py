"""The training job: every cell of a job, one after the other."""

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retcap.features.frozen import Features
from retcap.jobs import scratch as scratches
from retcap.prefix import captioner, grid, training
from retcap.prefix.data import CaptionRows
from retcap.prefix.items import TRAIN, VALID
from retcap.prefix.training import TrainingSettings
from retcap.terminal.progress import meter


def train_cells(
    out: Path,
    cells: Mapping[str, Mapping[str, Any]],
    features: Features,
    params: Any,
    *,
    scratch: Path,
    device: str,
) -> None:
    """Train every cell and write its folder. `scratch`: folder of cells under way, which a killed job finds again."""
    settings = TrainingSettings(**params.training)
    base = captioner.language_model(params.language_model, params.revision)
    rows, valid = (_rows(features, split, base[1], settings, params.vector_length) for split in (TRAIN, VALID))
    assert rows is not None
    out.mkdir()
    for at, (name, row) in enumerate(cells.items()):
        own = row["cell_settings"]
        model = captioner.build(own, features.images.shape[1], copy.deepcopy(base[0])).to(device)
        show = meter(f"training cell {at + 1} of {len(cells)}", "step")
        curves = training.train(
            model, rows, valid, settings, seed=own["seed"], scratch=scratch / name, device=device, progress=show
        )
        about = {
            "cell": own,
            "vector_size": features.images.shape[1],
            "vector_length": params.vector_length,
            "language_model": params.language_model,
            "language_model_revision": params.revision,
            "backbone": params.backbone,
            "backbone_source": features.about["source"],
            "resize": params.resize,
            "parameters": model.parameter_counts(),
            "captions": {"train": len(rows), "cut": rows.cut, "valid": 0 if valid is None else len(valid)},
            "curves": curves,
        }
        captioner.save(out / name, model, about)
    for name in cells:
        shutil.rmtree(scratch / name, ignore_errors=True)


def scratch_folder(snakemake: Any) -> Path:
    """A cell's own scratch hangs on its id, the code and the features, not on the job that it happens to be in."""
    about = scratches.fingerprint(Path(snakemake.input.features) / "about.json")
    params = {name: value for name, value in snakemake.params.items() if name != "again"}
    return scratches.results(snakemake) / ".scratch" / snakemake.rule / grid.named(str(params), about)


def _rows(
    features: Features, split: str, tokenizer: Any, settings: TrainingSettings, length: float
) -> CaptionRows | None:
    if not len(features.rows(split)):
        return None
    return CaptionRows(features, split, tokenizer, longest=settings.max_caption_tokens, length=length)
