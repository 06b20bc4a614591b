"""Prompts: templates filled with the names of classes."""

from collections.abc import Sequence

NAME = "{}"  # the template that leaves the name bare


def prompts(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """All prompts, class by class: as many per class as there are templates. A name may hold braces of its own.

    >>> prompts(["red {x}", "tea"], ["a {}.", "{}"])
    ['a red {x}.', 'red {x}', 'a tea.', 'tea']
    """
    return [template.replace("{}", name) for name in classes for template in templates]
