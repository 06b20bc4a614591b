"""One model over one split: load, caption, record. Single pairs may fail; an error of the model is one of the job."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from retcap import plugins
from retcap.captioning import outcome
from retcap.captioning.batches import share
from retcap.captioning.resume import Finished, Item, content_ids
from retcap.captioning.weights import Weights, files_sha256, identify, is_pinned
from retcap.captions import files
from retcap.jobs import provenance
from retcap.pictures.images import ImagePack
from retcap.reruns.params import digest_of
from retcap.terminal.progress import meter


@dataclass(frozen=True)
class Study:
    """What one captioning job needs to know."""

    captioner: str
    requests: Path
    pack: Path
    model: Path | None  # folder of the tiny checkpoint, where a rule made one
    checkpoint: str  # "tiny", "hub", a hub id or a folder
    revision: str | None
    trust_remote_code: bool
    prompt: str
    image_policy: str
    batch_size: int
    max_new_tokens: int
    kept: Path  # finished captions lie here, for this run and for later ones
    code: str
    shard: int = 0  # the part of the pairs that this job captions, of `shards`
    shards: int = 1

    @property
    def source(self) -> str | None:
        """Folder or hub id to load from; None is the id on the model's card."""
        if self.checkpoint == "tiny":
            return str(self.model)
        return None if self.checkpoint == "hub" else self.checkpoint


def caption_study(study: Study, device: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Captions of every pair of the shard and the outcome.

    RuntimeError where the model cannot be loaded, or no pair succeeds.
    """
    captions, weights, about = _caption(study, device)
    if len(captions) and set(captions["status"]) == {"failed"}:
        raise RuntimeError(f"all {len(captions)} pairs failed; the first: {captions['reason'].iloc[0]}")
    return captions, outcome.completed(study, weights, captions, about)


def reason(error: BaseException) -> str:
    """The error in one line."""
    first = " ".join(str(error).split())
    return f"{type(error).__name__}: {first[:400]}" if first else type(error).__name__


def _caption(study: Study, device: str) -> tuple[pd.DataFrame, Weights, dict[str, Any]]:
    """Captions, the weights they came from, and counts. The model is loaded only if a caption is missing."""
    plugin = plugins.load("captioners", study.captioner)
    requests: Any = files.read_requests(study.requests)
    pack: Any = ImagePack(study.pack)
    items, contents = _own_share(study, requests, pack)
    try:
        meant = identify(study.source, study.revision, plugin.CARD)
        finished = _finished(study, meant, device) if is_pinned(meant) else None
        captioner = None
        if finished is None or finished.about is None or not all(content in finished.done for content in contents):
            captioner = _load(study, plugin, meant, device)
    except Exception as error:
        raise RuntimeError(f"cannot load `{study.source or plugin.CARD.model_id}`: {reason(error)}") from error
    if captioner is not None:
        finished = finished or _finished(study, captioner.weights, device)
        finished.describe(captioner.description())
    assert finished is not None
    assert finished.about is not None
    before = sum(content in finished.done for content in contents)
    records = (
        finished.records(items, contents) if captioner is None else _generate(study, captioner, items, pack, finished)
    )
    keys = dict(zip(requests["item_id"], requests["image_key"], strict=True))
    captions = files.frame([record | {"image_key": keys[record["item_id"]]} for record in records])
    known = finished.about
    about = {
        "dtype": known["dtype"],
        "device": device,
        "kept_from_before": before,
        "at_token_cap": sum(record["capped"] for record in records),
    }
    return captions, Weights(known["source"], known["revision"], known["sha256"]), about


def _own_share(study: Study, requests: Any, pack: Any) -> tuple[list[Item], list[str]]:
    """The items of this job's shard and their contents."""
    items = [(item.item_id, item.query, item.image_key) for item in requests.itertuples()]
    contents = content_ids(items, pack)
    own = share(items, contents, study.batch_size, study.shard, study.shards)
    return [items[place] for place in own], [contents[place] for place in own]


def _finished(study: Study, weights: Weights, device: str) -> Finished:
    """Captions that are kept, those of the other shards too, for what decides captions now."""
    writer = f"{study.shard}-of-{study.shards}" if study.shards > 1 else ""
    return Finished(study.kept, _settings(study, weights, device), writer)


def _load(study: Study, plugin: Any, meant: Weights, device: str) -> Any:
    from retcap.captioning import model

    return model.load(
        plugin,
        study.source,
        policy=study.image_policy,
        prompt_set=study.prompt,
        device=device,
        revision=study.revision,
        weights=meant,
        allow_remote_code=study.trust_remote_code,
    )


def _generate(study: Study, captioner: Any, items: list[Item], pack: Any, finished: Finished) -> list[dict]:
    from retcap.captioning import generate

    return generate.caption_all(
        captioner,
        items,
        pack,
        batch_size=study.batch_size,
        max_new_tokens=study.max_new_tokens,
        finished=finished,
        progress=meter(f"captions of {study.captioner}", "pair"),
    )


def _settings(study: Study, weights: Weights, device: str) -> dict[str, Any]:
    """Whatever decides a caption beside its query and its picture."""
    params = ("captioner", "trust_remote_code", "prompt", "image_policy", "batch_size", "max_new_tokens", "code")
    versions = {name: version for name, version in provenance.versions().items() if name in ("torch", "transformers")}
    own = {name: getattr(study, name) for name in params}
    own["code"] = digest_of(study.code)  # not what there is to caption, which the rest of the param covers
    return own | asdict(weights) | {"files": files_sha256(weights), "device": device, "versions": versions}
