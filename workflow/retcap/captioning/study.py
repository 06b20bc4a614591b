"""One model over one split: load, caption, record. Single pairs may fail; an error of the model is one of the job."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from retcap import plugins
from retcap.captioning import files, outcome
from retcap.captioning.weights import Weights
from retcap.progress import meter


@dataclass(frozen=True)
class Study:
    """What one captioning job needs to know."""

    captioner: str
    pairs: Path
    pack: Path
    model: Path | None  # folder of the tiny checkpoint, where a rule made one
    checkpoint: str  # "tiny", "hub", a hub id or a folder
    revision: str | None
    trust_remote_code: bool
    prompt: str
    image_policy: str
    batch_size: int
    max_new_tokens: int
    scratch: Path  # finished batches lie here until the job has ended well
    code: str

    @property
    def source(self) -> str | None:
        """Folder or hub id to load from; None is the id on the model's card."""
        if self.checkpoint == "tiny":
            return str(self.model)
        return None if self.checkpoint == "hub" else self.checkpoint


def caption_study(study: Study, device: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Captions of every pair and the outcome. RuntimeError where the model cannot be loaded, or no pair succeeds."""
    captions, weights, about = _caption(study, device)
    if len(captions) and set(captions["status"]) == {"failed"}:
        raise RuntimeError(f"all {len(captions)} pairs failed; the first: {captions['reason'].iloc[0]}")
    return captions, outcome.completed(study, weights, captions, about)


def reason(error: BaseException) -> str:
    """The error in one line."""
    first = " ".join(str(error).split())
    return f"{type(error).__name__}: {first[:400]}" if first else type(error).__name__


def _caption(study: Study, device: str) -> tuple[pd.DataFrame, Weights, dict[str, Any]]:
    from retcap.captioning import generate, model
    from retcap.images import ImagePack

    plugin = plugins.load("captioners", study.captioner)
    try:
        captioner = model.load(
            plugin,
            study.source,
            policy=study.image_policy,
            prompt_set=study.prompt,
            device=device,
            revision=study.revision,
            allow_remote_code=study.trust_remote_code,
        )
    except Exception as error:
        raise RuntimeError(f"cannot load `{study.source or plugin.CARD.model_id}`: {reason(error)}") from error
    pairs: Any = files.read_items(study.pairs)
    pack: Any = ImagePack(study.pack)
    records = generate.caption_all(
        captioner,
        [(pair.item_id, pair.query, pair.image_key) for pair in pairs.itertuples()],
        pack,
        batch_size=study.batch_size,
        max_new_tokens=study.max_new_tokens,
        resume_folder=study.scratch,
        progress=meter(f"captions of {study.captioner}", "pair"),
    )
    captions: Any = pd.DataFrame(records)
    about = {
        "dtype": str(captioner.dtype).removeprefix("torch."),
        "device": device,
        "captioned": int((captions["status"] == "ok").sum()),
        "mean_tokens": float(captions["tokens"].mean()),
        "at_token_cap": int(captions["capped"].sum()),
    }
    return captions, captioner.weights, about
