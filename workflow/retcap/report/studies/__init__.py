"""The studies on the page: a module here and a template in `workflow/report/studies/`, both named after the study.

They are found by that name, so that a further study edits no file of the report. A module has
    params(plan)                   what the page is made from beside the files that the study's plan reports
    inputs(found, params, failed)  from these, what the section is built from; `failed`: failures by path, for a file
    section(inputs, experiment)    the values of the template
    opening(section)               sentences for the top of the page
    contents(section)              anchors and titles below the study's own in the list of contents
`plan` is the study's own. Heavy modules are imported inside the functions: the Snakefile asks for the params.
"""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from retcap.plan import StudyPlan


def load(study: str) -> ModuleType:
    """Module of a study."""
    return importlib.import_module(f"{__name__}.{study}")


def paths(studies: Sequence[str]) -> list[Path]:
    """Their files, for the digest of the code."""
    return [Path(__file__).parent / f"{study}.py" for study in studies]


def files(plans: Iterable[StudyPlan]) -> dict[str, Any]:
    """Input files of the report, of all studies that run; names begin with the study's."""
    return {f"{own.name}.{name}": path for own in plans for name, path in own.reported().items()}


def params(plans: Iterable[StudyPlan]) -> dict[str, Any]:
    """What the page is made from beside files, by study."""
    return {own.name: load(own.name).params(own) for own in plans}


def inputs(found: Mapping[str, Any], params: Mapping[str, Any], failed: Mapping[str, Any]) -> dict[str, Any]:
    """From files and params as given to the rule, what each section is built from."""
    return {
        study: load(study).inputs(_own(study, found), SimpleNamespace(**own), failed) for study, own in params.items()
    }


def named(names: list[str], paths: Any, failed: Mapping[str, Any] | None = None) -> dict[str, Path]:
    """Name -> path, without those whose job failed."""
    return {name: Path(path) for name, path in zip(names, paths, strict=True) if path not in (failed or {})}


def _own(study: str, found: Mapping[str, Any]) -> SimpleNamespace:
    names = [name for name in found if name.startswith(f"{study}.")]
    return SimpleNamespace(**{name.removeprefix(f"{study}."): found[name] for name in names})
