"""The typed configuration: every key with its default, meaning, unit and origin.

`config/config.yaml`, `config/schema.json` and the table in `config/README.md` are generated from here
(`python -m retcap.config.files`). Unknown keys are errors. Nothing else in the package reads the configuration: rules
pass single values to scripts as params.
"""

import logging
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from retcap import plugins
from retcap.config import checkpoints, errors, inputs, shared, sides, studies
from retcap.config.common import Common
from retcap.config.errors import ConfigError, Place, Problem, describe, explain
from retcap.config.model import Config

log = logging.getLogger(__name__)


def resolve(
    raw: dict[str, Any],
    files: Sequence[str | Path] = (),
    overrides: dict[str, Any] | None = None,
    arguments: Sequence[str] | None = None,
) -> dict:
    """The validated configuration as plain Python values, numbers coerced (`1e-3` is text in YAML).

    `files` are the YAML files it was merged from, later ones winning, and `overrides` what came from the command line,
    as typed in the `arguments` of `--config`: all serve to name the place of an error. Raises ConfigError with all
    errors at once. What only a run needs, such as folders of pictures, is a warning here: the plan of a run can be read
    on a machine without data.
    """
    faults = plugins.broken() + errors.faults(files, arguments or ())
    config, problems, broken = _well_formed(raw)
    if config is not None:
        folders = shared.folders(config.model_dump())
        adrift = list(shared.unknown(config, folders))
        problems, broken = problems + adrift, broken + [one.place for one in adrift]
        config = shared.placed(config, folders)
        found = [one for study, own in studies.sections(config, running=False) for one in study.problems(own, config)]
        found += [*inputs.findings(config), *checkpoints.findings(config), *inputs.base(config, files)]
        problems += [finding for finding in found if not finding.is_void(broken)]
    if faults or problems or config is None:
        raise ConfigError(faults + explain(problems, files, overrides or {}))
    for warning in explain(inputs.warnings(config), files, overrides or {}):
        log.warning("%s", warning)
    return sides.filled(config).model_dump(mode="python")


def _well_formed(raw: dict[str, Any]) -> tuple[Common | None, list[Problem], list[Place]]:
    """The configuration with the default for every key that is wrong in itself, these problems, and their places.

    So the checks that look at several keys still see the others. None if no valid rest is found.
    """
    values, problems, broken = deepcopy(raw), [], []
    while True:
        try:
            return Config.model_validate(values), problems, broken
        except ValidationError as error:
            for problem in describe(error, Config, raw):
                if not any(problem.place[: len(known)] == known for known in broken):
                    problems.append(problem)
            places = [_without(values, error["loc"]) for error in error.errors()]
            if not any(places):
                return None, problems, broken
            broken += [place for place in places if place]


def _without(values: dict[str, Any], place: Place) -> Place:
    """Take out the innermost key of a place that the values hold, a list as a whole; the place of what was taken."""
    inner: Any = values
    path: list[tuple[dict, str | int]] = []
    for part in place:
        if not isinstance(inner, dict) or part not in inner:
            break
        path.append((inner, part))
        inner = inner[part]
    if not path:
        return ()
    holder, name = path[-1]
    del holder[name]
    return tuple(part for _, part in path)
