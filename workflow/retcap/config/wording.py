"""How values of the configuration read in messages: as YAML writes them, and never pages of them."""

import math
from typing import Any

LONGEST = 100  # characters of a value


def shown(value: Any) -> str:
    """A value as a user would write it.

    >>> shown([True, None, "x"])
    "[true, null, 'x']"
    """
    text = _text(value, 0)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _text(value: Any, depth: int) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, dict | list) and depth > 3:
        return "…"
    if isinstance(value, dict):
        few = list(value.items())[:9]
        return "{" + ", ".join(f"{name}: {_text(item, depth + 1)}" for name, item in few) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(item, depth + 1) for item in list(value)[:99]) + "]"
    return repr(value)
