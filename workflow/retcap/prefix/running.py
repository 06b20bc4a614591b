"""The jobs of the grid: train the cells of one, caption with the runs of one."""

import copy
import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retcap.captions import files
from retcap.captions.prepare import item_id
from retcap.features.frozen import Features
from retcap.jobs import scratch as scratches
from retcap.prefix import captioner, decoding, grid, training
from retcap.prefix.data import CaptionRows
from retcap.prefix.scoring import QUERY, TEST
from retcap.prefix.training import TrainingSettings
from retcap.terminal.progress import meter

log = logging.getLogger(__name__)


def known(path: str | Path, name: str, key: str) -> dict[str, dict[str, Any]]:
    """Rows of `runs.json` by the id under `key`, of those ids that the name of a job has."""
    rows = json.loads(Path(path).read_text(encoding="utf-8"))
    ids = name.split(grid.JOIN)
    return {row[key]: row for row in rows if row[key] in ids}


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
    rows, valid = (_rows(features, split, base[1], settings, params.vector_length) for split in ("train", "valid"))
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


def caption_runs(
    out: Path,
    runs: Mapping[str, Mapping[str, Any]],
    models: Sequence[str | Path],
    features: Features,
    *,
    batch_size: int,
    device: str,
) -> None:
    """Caption the test pictures with every run and write a table for each."""
    places = features.rows(TEST)
    ids = [item_id(features.items["name"][row], QUERY) for row in places]
    numbers = [int(one, 16) for one in ids]  # of the picture itself, whatever else is captioned
    folders = {path.name: path for folder in models for path in Path(folder).iterdir()}
    base: dict[str, Any] = {}
    out.mkdir()
    for name, row in runs.items():
        folder = folders[row["cell"]]
        source = json.loads((folder / captioner.CONFIG).read_text(encoding="utf-8"))
        key = f"{source['language_model']} {source['language_model_revision']}"
        if key not in base:
            base[key] = captioner.language_model(source["language_model"], source["language_model_revision"])
        loaded = captioner.load(folder, (copy.deepcopy(base[key][0]), base[key][1]), device)
        started = time.perf_counter()
        settings = decoding.Settings(**row["decoding_settings"])
        said = captioner.caption(loaded, row["decoding"], features.images[places], numbers, settings, batch_size)
        seconds = (time.perf_counter() - started) / max(len(said), 1)
        table = [
            _record(one, text, tokens, seconds, features.items["sha256"][place])
            for one, (text, tokens), place in zip(ids, said, places, strict=True)
        ]
        files.write_captions(out / f"{name}.parquet", files.frame(table))
        log.info("%s: %d captions, %.1f ms each", name, len(said), 1000 * seconds)


def _record(one: str, text: str, tokens: int, seconds: float, image_key: str) -> dict[str, Any]:
    return {
        "item_id": one,
        "raw": text,
        "status": "ok" if text else "empty",
        "reason": None,
        "seconds": seconds,
        "tokens": tokens,
        "held_out": None,
        "prompt": None,
        "image_key": image_key,
    }


def _rows(
    features: Features, split: str, tokenizer: Any, settings: TrainingSettings, length: float
) -> CaptionRows | None:
    if not len(features.rows(split)):
        return None
    return CaptionRows(features, split, tokenizer, longest=settings.max_caption_tokens, length=length)
