"""The typed records that travel between stages. Light: plugin files import it while the Snakefile is read."""

from typing import Literal

import msgspec


class DatasetCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a data set (or a generated demo world) is and where it comes from."""

    name: str
    title: str
    task: str  # "captioning", "retrieval", "classification", or "world" for a generator
    licence: str
    source: str
    citation: str
    notes: str = ""


class CaptionerCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a captioning model is and what one job of it needs (bf16 weights, batch of a few panoramas)."""

    name: str
    title: str
    model_id: str
    revision: str | None
    architecture: str  # transformers class name
    params_b: float  # billions, counted from the published configuration
    licence: str
    image_policy: str  # what the native processor does with a 2:1 panorama, in words
    padding_side: str
    dtype: str
    gpu: int = 1
    mem_mb: int
    gpu_mem_gb: int
    runtime_min: int
    groups: tuple[str, ...] = ()  # names under which the configuration can ask for it, of GROUPS in retcap.config.parts
    gated: bool = False
    trust_remote_code: bool = False


class BackboneCard(msgspec.Struct, frozen=True, kw_only=True):
    """Which CLIP checkpoints a backbone reads, and what their layers are."""

    name: str
    title: str
    library: str  # package and class that hold the towers
    sources: str  # what `load` takes, in words
    image_layers: str  # what counts as a layer of the image tower
    text_layers: str
    examples: tuple[str, ...]  # hub ids, or names with their tag
    licence: str
    notes: str = ""


class MetricCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric measures: unit, direction, bounds and the source of its formula."""

    name: str
    title: str
    task: str  # "captioning" or "retrieval"
    unit: str
    higher_is_better: bool = True
    low: float
    high: float | None
    source: str
    kind: Literal["score", "look"] = "score"  # "look": says how captions look, without a better or worse
    shown: tuple[str, ...] | None = None  # its values that short tables show; None: all, (): only the long tables


class Rejected(msgspec.Struct, frozen=True):
    """One input record that cannot be used. Goes to `quarantine.jsonl`, one object per line."""

    file: str
    line: int
    reason: str  # short stable code, such as "empty_annotation"
    detail: str
    record: str  # the offending text, cut at 500 characters


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """First minus second in one metric, on the items of a data set that both were judged on; see `differences.json`.

    The value has the unit of the metric; it and what follows are None where there is nothing to tell it from.
    """

    dataset: str
    first: str
    second: str
    metric: str
    n: int  # items: queries or pairs
    clusters: int  # of items that were drawn together, such as those of one picture
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None  # of the approximate randomisation test
    p_holm: float | None  # adjusted over the pairs of its family; None outside of it
    references: str | None = None  # captioning: "all", or "held out" where both are judged without a human's own
