"""Settings of the ReT-2 retriever: the part of `config.json` that is not the backbone's."""

import math
import re
from collections.abc import Container
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from retcap import spelling
from retcap.retriever.layers import STRATEGIES

CLIP_LOGIT_SCALE = math.log(1 / 0.07)  # 2.6593, CLIP's initial value (Radford et al. 2021, section 2.5)
LARGEST = 65_536  # of a state or an output; the largest published model has 18,432 (PaLM 540B)
CLIP_LOGIT_SCALE_MAX = math.log(100)  # 4.6052, CLIP's clamp (same place)


class Unbuildable(ValueError):
    """Settings that contradict each other; `problems` are (field, what is wrong)."""

    def __init__(self, problems: list[tuple[str, str]]):
        self.problems = problems
        lines = "".join(f"\n  - {field} {text}" for field, text in problems)
        super().__init__(f"The retriever cannot be built:{lines}")


class ReTConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of the recurrent cell and of the output. Defaults: ReT-1's cell with ReT-2's sharing, layers and pooling.

    ReT-2 publishes neither the number of query tokens nor the output size nor how the temperature is learned; those
    defaults are choices (k = 32 and d = 1024 are ReT-1's). The meanings are shown in config/README.md.
    """

    hidden_size: Annotated[int, Meta(description="d, size of the cell's state; even, for the sinusoids")] = 1024
    num_queries: Annotated[int, Meta(description="k, learned query tokens; at most d")] = 32
    num_heads: Annotated[int | None, Meta(description="attention heads; null: d // 64, at least 1")] = None
    layer_strategy: Annotated[str, Meta(description="which backbone layers the cell reads")] = "auto"
    text_layers: Annotated[tuple[int, ...] | None, Meta(description="text layers, with `explicit` only")] = None
    vision_layers: Annotated[tuple[int, ...] | None, Meta(description="image layers, one per text layer")] = None
    pooling: Annotated[
        Literal["mean", "first", "none"],
        Meta(description="how the k tokens become one vector; `none` (tokens for MaxSim) only loads ReT-1 checkpoints"),
    ] = "mean"
    late_proj_output_size: Annotated[int, Meta(description="size of a late projection; 0: none, vectors of size d")] = 0
    global_features: Annotated[
        bool, Meta(description="add adapted global features of both towers before the late projection")
    ] = False
    share_encoders: Annotated[
        bool, Meta(description="one encoder for queries and passages (ReT-2); false: two cells (ReT-1)")
    ] = True
    share_text_tower: Annotated[bool, Meta(description="two cells share the text tower")] = True
    share_vision_tower: Annotated[bool, Meta(description="two cells share the image tower")] = True
    text_frozen: Annotated[bool, Meta(description="no gradient and always in evaluation mode")] = False
    vision_frozen: Annotated[bool, Meta(description="no gradient and always in evaluation mode")] = False
    dropout_p: Annotated[float, Meta(description="dropout in the MLP of the cell")] = 0.05
    attention_dropout: Annotated[float, Meta(description="dropout in all three attentions")] = 0.05
    activation_fn: Annotated[Literal["gelu", "relu"], Meta(description="of the MLP")] = "gelu"
    use_tanh: Annotated[bool, Meta(description="state activation: tanh instead of identity")] = False
    input_gate_bias_prior: Annotated[float, Meta(description="start value of the input gate's bias")] = 0.0
    forget_gate_bias_prior: Annotated[float, Meta(description="start value of the forget gate's bias")] = 0.0
    logit_scale_init: Annotated[float, Meta(description="log of the inverse temperature at the start")] = (
        CLIP_LOGIT_SCALE
    )
    logit_scale_max: Annotated[float, Meta(description="its upper bound")] = CLIP_LOGIT_SCALE_MAX

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise Unbuildable(problems)

    @property
    def heads(self) -> int:
        """Attention heads; ReT-1 has one per 64 channels."""
        return self.num_heads or max(self.hidden_size // 64, 1)

    @property
    def output_size(self) -> int:
        """Length of one output vector."""
        return self.late_proj_output_size or self.hidden_size

    def _problems(self) -> list[tuple[str, str]]:
        found = self._size_problems() + self._layer_problems()
        if not 0 <= self.late_proj_output_size <= LARGEST:
            text = f"{self.late_proj_output_size} must be 0 (none) or a size up to {LARGEST:,}."
            found.append(("late_proj_output_size", text))
        if self.global_features and self.pooling == "none":
            found.append(("global_features", "needs one vector per item: set pooling to mean or first."))
        for name in ("dropout_p", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                found.append((name, f"{getattr(self, name)} must be at least 0 and below 1."))
        priors = ("input_gate_bias_prior", "forget_gate_bias_prior", "logit_scale_init", "logit_scale_max")
        endless = [name for name in priors if not math.isfinite(getattr(self, name))]
        found += [(name, f"{getattr(self, name)} must be a finite number.") for name in endless]
        if not endless and self.logit_scale_init > self.logit_scale_max:
            text = f"{self.logit_scale_init} exceeds logit_scale_max {self.logit_scale_max}."
            found.append(("logit_scale_init", text))
        return found

    def _size_problems(self) -> list[tuple[str, str]]:
        found = []
        if not 2 <= self.hidden_size <= LARGEST:
            return [("hidden_size", f"{self.hidden_size} must lie in 2..{LARGEST:,}.")]
        if self.hidden_size % 2:
            found.append(("hidden_size", f"{self.hidden_size} must be even: half of the sinusoids are cosines."))
        if not 1 <= self.num_queries <= self.hidden_size:
            found.append(("num_queries", f"{self.num_queries} must lie in 1..hidden_size ({self.hidden_size})."))
        if self.num_heads is not None and self.num_heads < 1:
            found.append(("num_heads", f"{self.num_heads} must be at least 1."))
        elif self.hidden_size % self.heads:
            text = f"{self.hidden_size} is not a multiple of its {self.heads} heads: set num_heads."
            found.append(("hidden_size", text))
        return found

    def _layer_problems(self) -> list[tuple[str, str]]:
        if self.layer_strategy not in STRATEGIES:
            hint = spelling.did_you_mean(self.layer_strategy, STRATEGIES)
            return [("layer_strategy", f"{self.layer_strategy!r} must be one of {', '.join(STRATEGIES)}.{hint}")]
        listed = {"text_layers": self.text_layers, "vision_layers": self.vision_layers}
        missing = [name for name, layers in listed.items() if layers is None]
        if self.layer_strategy == "explicit" and missing:
            return [
                (
                    "layer_strategy",
                    f"'explicit' needs the lists text_layers and vision_layers in `cell`: "
                    f"{' and '.join(missing)} not given.",
                )
            ]
        if self.layer_strategy != "explicit" and len(missing) < 2:
            text = f"goes with layer_strategy 'explicit' only, not {self.layer_strategy!r}."
            return [(name, text) for name, layers in listed.items() if layers is not None]
        return self._list_problems() if self.layer_strategy == "explicit" else []

    def _list_problems(self) -> list[tuple[str, str]]:
        """Of lists of layers given one by one; that the towers have them is checked where the towers are."""
        found = []
        for name in ("text_layers", "vision_layers"):
            layers = list(getattr(self, name))
            if not layers:
                found.append((name, "[] names no layer, and the cell reads at least one."))
            elif min(layers) < 0:
                found.append((name, f"{layers} has a negative layer. Layers are counted from 0."))
            elif len(set(layers)) < len(layers):
                found.append((name, f"{layers} names a layer more than once. The cell reads each layer once."))
        text, vision = list(self.text_layers or ()), list(self.vision_layers or ())
        if not found and len(text) != len(vision):
            found.append(("text_layers", f"{text} and vision_layers {vision} differ in length."))
        return found


def problems(values: dict[str, Any], elsewhere: Container[str] = ()) -> list[tuple[str, str]]:
    """All (field, what is wrong and what to do) of settings from JSON or YAML. Fields `elsewhere` are not offered."""
    fields = {field.name: field.type for field in msgspec.structs.fields(ReTConfig)}
    found: list[tuple[str, str]] = []
    good: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            known = [field for field in fields if field not in elsewhere]
            text = f"unknown field.{spelling.did_you_mean(str(name), known)} Fields of the cell: {', '.join(known)}."
            found.append((str(name), text))
            continue
        try:
            good[name] = msgspec.convert(value, fields[name], strict=False)
        except msgspec.ValidationError as error:
            text = re.sub(r" - at `\$\[(\d+)\]`", r" in entry \1", str(error).rstrip("."))
            found.append((name, f"{text[0].lower()}{text[1:]}. Got {value!r} instead.{_options(fields[name])}"))
    if found:
        return found  # the rest cannot be judged against a default in the place of what is wrong
    try:
        ReTConfig(**good)
    except Unbuildable as error:
        return error.problems
    return []


def from_mapping(values: dict[str, Any]) -> ReTConfig:
    """Checked settings from JSON or YAML values; the error names every field that is unknown or wrong."""
    found = problems(values)
    if found:
        raise ValueError("Retriever settings:" + "".join(f"\n  - {field}: {text}" for field, text in found))
    return msgspec.convert(values, ReTConfig, strict=False)


def _options(kind: Any) -> str:
    """The values of a field that takes one of few."""
    inner = get_args(kind)[0]
    return f" One of: {', '.join(get_args(inner))}." if get_origin(inner) is Literal else ""


def to_mapping(config: ReTConfig) -> dict[str, Any]:
    """JSON-ready values; `from_mapping` reads them back."""
    return msgspec.to_builtins(config)


def from_ret1(config: dict[str, Any]) -> tuple[ReTConfig, dict[str, Any]]:
    """Settings and text/vision configurations out of a ReT-1 `config.json` (model_type "retriever").

    Leaves the caller's dict as it is. Query and passage cells of different shape are an error: no such checkpoint is
    published, and one ReTConfig describes both.
    """
    query, passage = config["query_config"], config.get("passage_config") or config["query_config"]
    shared = bool(config.get("share_query_passage_models", False))
    settings = _ret1_cell(query)
    if not shared and _ret1_cell(passage) != settings:
        raise ValueError("ReT-1 checkpoint with different query and passage cells: one configuration must fit both.")
    sharing = {
        "share_encoders": shared,
        "share_text_tower": bool(config.get("share_text_models", True)),
        "share_vision_tower": bool(config.get("share_vision_models", True)),
    }
    towers = {"text_config": query["text_config"], "vision_config": query["vision_config"]}
    return from_mapping(settings | sharing), towers


def _ret1_cell(config: dict[str, Any]) -> dict[str, Any]:
    """ReT-1's fields with its own defaults (aimagelab/ReT 3fee6aa) in our names."""
    same = {
        "hidden_size": 1024,
        "num_queries": 32,
        "layer_strategy": "clip_vit_b",
        "late_proj_output_size": 128,
        "dropout_p": 0.05,
        "attention_dropout": 0.05,
        "activation_fn": "gelu",
        "use_tanh": False,
        "input_gate_bias_prior": 0.0,
        "forget_gate_bias_prior": 0.0,
    }
    settings: dict[str, Any] = {key: config.get(key, default) for key, default in same.items()}
    settings["num_heads"] = settings["hidden_size"] // 64
    settings["pooling"] = "mean" if config.get("use_pooler_features") else "none"
    settings["text_frozen"] = config.get("is_text_frozen", True)
    settings["vision_frozen"] = config.get("is_vision_frozen", True)
    return settings
