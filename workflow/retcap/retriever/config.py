"""Settings of the ReT-2 retriever: the part of `config.json` that is not the backbone's."""

import math
from typing import Any, Literal

import msgspec

from retcap.retriever.layers import STRATEGIES

CLIP_LOGIT_SCALE = math.log(1 / 0.07)  # 2.6593, CLIP's initial value (Radford et al. 2021, section 2.5)
CLIP_LOGIT_SCALE_MAX = math.log(100)  # 4.6052, CLIP's clamp (same place)


class ReTConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of the recurrent cell and of the output. Defaults: ReT-1's cell with ReT-2's sharing, layers and pooling.

    ReT-2 publishes neither the number of query tokens nor the output size nor how the temperature is learned; those
    defaults are choices (k = 32 and d = 1024 are ReT-1's).
    """

    hidden_size: int = 1024  # d; even, for the sinusoids
    num_queries: int = 32  # k, learned query tokens; at most d
    num_heads: int | None = None  # None: d // 64, at least 1
    layer_strategy: str = "auto"
    text_layers: tuple[int, ...] | None = None  # with "explicit" only
    vision_layers: tuple[int, ...] | None = None
    pooling: Literal["mean", "first", "none"] = "mean"  # "none": k unit tokens for MaxSim (ReT-1)
    late_proj_output_size: int = 0  # 0: no late projection, vectors of size d
    global_features: bool = False  # add adapted global features of both towers before the late projection
    share_encoders: bool = True  # one encoder for queries and passages (ReT-2); False: two cells (ReT-1)
    share_text_tower: bool = True  # of two encoders
    share_vision_tower: bool = True
    text_frozen: bool = False  # no gradient and always in evaluation mode
    vision_frozen: bool = False
    dropout_p: float = 0.05  # MLP of the cell
    attention_dropout: float = 0.05  # all three attentions
    activation_fn: Literal["gelu", "relu"] = "gelu"  # MLP only
    use_tanh: bool = False  # state activation phi: tanh or identity
    input_gate_bias_prior: float = 0.0
    forget_gate_bias_prior: float = 0.0
    logit_scale_init: float = CLIP_LOGIT_SCALE
    logit_scale_max: float = CLIP_LOGIT_SCALE_MAX

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ValueError("The retriever cannot be built:\n" + "\n".join(f"  - {line}" for line in problems))

    @property
    def heads(self) -> int:
        """Attention heads; ReT-1 has one per 64 channels."""
        return self.num_heads or max(self.hidden_size // 64, 1)

    @property
    def output_size(self) -> int:
        """Length of one output vector."""
        return self.late_proj_output_size or self.hidden_size

    def _problems(self) -> "list[str]":
        found = []
        if self.hidden_size < 2 or self.hidden_size % 2:
            found.append(f"hidden_size {self.hidden_size} must be even: half of the sinusoids are cosines.")
        if not 1 <= self.num_queries <= self.hidden_size:
            found.append(f"num_queries {self.num_queries} must lie in 1..hidden_size ({self.hidden_size}).")
        if self.hidden_size % self.heads:
            found.append(f"hidden_size {self.hidden_size} is not a multiple of its {self.heads} heads: set num_heads.")
        if self.layer_strategy not in STRATEGIES:
            found.append(f"layer_strategy {self.layer_strategy!r} must be one of {', '.join(STRATEGIES)}.")
        listed = self.text_layers, self.vision_layers
        if self.layer_strategy == "explicit" and None in listed:
            found.append("layer_strategy 'explicit' needs the lists text_layers and vision_layers.")
        if self.layer_strategy != "explicit" and listed != (None, None):
            found.append(
                f"text_layers and vision_layers go with layer_strategy 'explicit' only, not {self.layer_strategy!r}."
            )
        if None not in listed and len(self.text_layers or ()) != len(self.vision_layers or ()):
            found.append(f"text_layers {self.text_layers} and vision_layers {self.vision_layers} differ in length.")
        if self.late_proj_output_size < 0:
            found.append(f"late_proj_output_size {self.late_proj_output_size} must be 0 (none) or positive.")
        if self.global_features and self.pooling == "none":
            found.append("global_features needs one vector per item: set pooling to mean or first.")
        for name in ("dropout_p", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                found.append(f"{name} {getattr(self, name)} must lie in 0..1.")
        if self.logit_scale_init > self.logit_scale_max:
            found.append(f"logit_scale_init {self.logit_scale_init} exceeds logit_scale_max {self.logit_scale_max}.")
        return found


def from_mapping(values: dict[str, Any]) -> ReTConfig:
    """Checked settings from JSON or YAML values; unknown keys and wrong types are errors that name the key."""
    try:
        return msgspec.convert(values, ReTConfig, strict=False)
    except msgspec.ValidationError as error:
        text = str(error).rstrip(".")
        raise ValueError(f"Retriever settings: {text}. Keys are those of retcap.retriever.config.ReTConfig.") from None


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
