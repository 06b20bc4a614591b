"""Makes params count by name. Snakemake compares the values of a rule's params with the last as a set without names:
two that swap their values, such as a width of 1024 and a height of 2048, would run nothing again.

So the param `code`, which every rule has, becomes `<digest of the code>-<digest of all other params by name>`. A note
to try again (`again`) is no setting: what a job had finished before it failed is found again under the same code.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def count_by_name(rules: Iterable[Any]) -> None:
    """Change the param `code` of Snakemake's rules, which have to be complete."""
    for rule in rules:
        named = dict(rule.params.items())
        if "code" in named and len(named) > 2:  # a single value cannot be mistaken for another
            place = rule.params._names["code"][0]
            rule.params[place] = sealed(named)
            rule.params._set_name("code", place)


def sealed(named: Mapping[str, Any]) -> Callable[[Any], str]:
    """Function of wildcards: the digest of the code, and one over the other params by name.

    >>> sealed({"code": "abc", "width": 1, "height": lambda wildcards: 2})(None)
    'abc-744294'
    """

    def code(wildcards: Any) -> str:
        values = {name: _value(value, wildcards) for name, value in named.items() if name != "again"}
        text = json.dumps({**values, "code": None}, sort_keys=True, default=str)
        return f"{values['code']}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    return code


def digest_of(code: str | None) -> str | None:
    """The digest of the code alone."""
    return code.partition("-")[0] if code else code


def _value(value: Any, wildcards: Any) -> Any:
    """A param, or what its function gives; one that asks for more than wildcards follows from inputs and outputs."""
    if not callable(value):
        return value
    return value(wildcards) if len(inspect.signature(value).parameters) == 1 else None
