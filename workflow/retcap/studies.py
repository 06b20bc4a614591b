"""The studies, found by name: `retcap/<study>/plan.py` says the class of a study's plan as `PLAN`.

What else belongs to a study is found by the same name, and workflow/README.md says how to add one. The configuration
knows their names and their order from `retcap/config/studies/`.
"""

import importlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from retcap.config import studies
from retcap.plan import Alone, Plan, StudyPlan

SHAPES_RESULTS = False  # what it answers reaches a script as params and files, and counts there
Plans = Mapping[str, StudyPlan]


def kind(study: str) -> type[StudyPlan]:
    """Class of a study's plan."""
    module = importlib.import_module(f"{__package__}.{study}.plan")
    found = getattr(module, "PLAN", None)
    if not isinstance(found, type) or not issubclass(found, StudyPlan) or found.name != study:
        raise TypeError(f"{module.__file__}: `PLAN` has to be a subclass of StudyPlan whose `name` is {study!r}.")
    return found


def plans(plan: Plan) -> dict[str, StudyPlan]:
    """The plan of every study, in their order."""
    return {study: kind(study)(plan) for study in studies.ALL}


def wildcards(plans: Iterable[StudyPlan]) -> dict[str, list[str]]:
    """Wildcard -> the values that it has in this configuration, in any of these studies."""
    found: dict[str, list[str]] = {}
    for own in plans:
        for name, values in own.wildcards().items():
            found[name] = list(dict.fromkeys([*found.get(name, []), *values]))
    return found


def checked(plans: Plans) -> dict[str, Any]:
    """What must be there before the run is called good, of the studies that run; names begin with the study's.

    `summaries` are of all studies: they say which systems failed although no job did.
    """
    files = {study: own.checked() for study, own in plans.items() if own.runs}
    found: dict[str, Any] = {"summaries": [path for own in files.values() for path in own.pop("summaries", [])]}
    return found | {f"{study}.{name}": paths for study, own in files.items() for name, paths in own.items()}


def running(plans: Plans) -> list[StudyPlan]:
    """Those that are part of the run, in the order of the configuration."""
    found = [own for own in plans.values() if own.runs]
    return sorted(found, key=lambda own: own.plan.config["studies"].index(own.name))


@cache
def alone() -> dict[str, Alone]:
    """The rules that may fail alone, of all studies."""
    return {rule: about for study in studies.ALL for rule, about in kind(study).alone.items()}
