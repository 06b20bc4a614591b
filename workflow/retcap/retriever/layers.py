"""Which backbone layers the recurrent cell reads: one (text layer, vision layer) pair per recurrent step.

Indices are 0-based over the blocks of a tower; the embedding output is not counted.
"""

from collections.abc import Sequence

NAMED = {  # aimagelab/ReT 3fee6aa, src/models/ret/configuration_ret.py
    "clip_vit_b": (tuple(range(12)), tuple(range(12))),
    "clip_vit_l": (tuple(range(12)), tuple(range(0, 24, 2))),
    "openclip_vit_h": (tuple(range(1, 24, 2)), (0, *range(2, 30, 3), 31)),
    "openclip_vit_g": ((*range(0, 30, 2), 31), tuple(range(2, 48, 3))),
}
STRATEGIES = ("auto", "explicit", *NAMED)
AUTO_STEPS = 3  # ReT-2: one early, one middle and one late layer per tower (arXiv 2509.08897)


def auto_layers(layers: int) -> tuple[int, ...]:
    """Layers floor(L*j/3) - 1 for j = 1, 2, 3: the ends of the three thirds, always with the last layer.

    Towers with fewer than three layers read their first layer more than once.

    >>> auto_layers(12), auto_layers(9), auto_layers(2)
    ((3, 7, 11), (2, 5, 8), (0, 0, 1))
    """
    return tuple(max(layers * step // AUTO_STEPS - 1, 0) for step in range(1, AUTO_STEPS + 1))


def resolve(
    strategy: str,
    *,
    text_layers: int,
    vision_layers: int,
    explicit_text: Sequence[int] | None = None,
    explicit_vision: Sequence[int] | None = None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Text and vision layers of every step, checked against the number of layers that the towers have.

    >>> resolve("auto", text_layers=9, vision_layers=12)
    ((2, 5, 8), (3, 7, 11))
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"layer_strategy {strategy!r} is unknown. Choose one of {', '.join(STRATEGIES)}.")
    explicit = explicit_text is not None or explicit_vision is not None
    if explicit != (strategy == "explicit"):
        raise ValueError(
            f"layer_strategy {strategy!r} with text_layers={explicit_text}, vision_layers={explicit_vision}: "
            "lists go with the strategy 'explicit' only, and 'explicit' needs both lists."
        )
    if strategy == "auto":
        chosen = auto_layers(text_layers), auto_layers(vision_layers)
    elif strategy == "explicit":
        chosen = tuple(explicit_text or ()), tuple(explicit_vision or ())
    else:
        chosen = NAMED[strategy]
    _check(strategy, chosen, (text_layers, vision_layers))
    return chosen


def _check(strategy: str, chosen: tuple[tuple[int, ...], tuple[int, ...]], available: tuple[int, int]) -> None:
    text, vision = chosen
    if not text or len(text) != len(vision):
        raise ValueError(
            f"layer_strategy {strategy!r}: {len(text)} text layers {list(text)} and {len(vision)} vision layers "
            f"{list(vision)}. Every recurrent step reads one of each, so the lists must be of one length above 0."
        )
    for tower, layers, count in zip(("text", "vision"), chosen, available, strict=True):
        outside = [layer for layer in layers if not 0 <= layer < count]
        if outside:
            raise ValueError(
                f"layer_strategy {strategy!r}: {tower} layers {outside} do not exist, the tower has {count} "
                f"(0 to {count - 1}). Use 'auto' or another list."
            )
