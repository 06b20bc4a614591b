"""Whether a run would succeed on this machine: GPUs, weights, tools and data, each with its remedy, in seconds.

    python -m retcap doctor                                           the demo
    python -m retcap doctor --configfile config/quic360.yaml          a study of full size, as the run would be called

The exit status is 1 where something will fail or lack a result.
"""

import contextlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from retcap import config as configuration
from retcap.doctor import data, machine, models, scoring
from retcap.doctor.findings import Finding, note, told

SHAPES_RESULTS = False  # see retcap.reruns.digest
CONFIG_SUFFIXES = {".yaml", ".yml", ".json"}
DEFAULTS = Path(__file__).parents[3] / "config/config.yaml"
PARTS: dict[str, Callable[[dict[str, Any]], Iterable[Finding]]] = {
    "This machine": machine.machine,
    "Models": models.models,
    "Caption metrics": scoring.scoring,
    "Captions and pictures": data.data,
}


class Warned(logging.Handler):
    """Keeps what the configuration warns about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.findings: list[Finding] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.findings.append(note(record.getMessage().replace(" warning: ", " ", 1)))


def resolved(arguments: Sequence[str]) -> dict[str, Any]:
    """The configuration of a run that is called with these arguments of Snakemake. Raises ConfigError."""
    from snakemake import cli
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    with contextlib.redirect_stderr(io.StringIO()):  # which profile is used
        options = cli.parse_args(["-n", *arguments])[1]
    if taken := [target for target in options.targets if Path(target).suffix in CONFIG_SUFFIXES]:
        raise configuration.ConfigError(
            [
                f"{taken[0]}: a run would take this for a target and use the demo's configuration. "
                f"Write --configfile {taken[0]}."
            ]
        )
    files = [os.path.relpath(DEFAULTS), *(options.configfile or [])]
    raw: dict[str, Any] = {}
    for file in files:
        update_config(raw, load_configfile(file))
    given = cli.parse_config(options.config)
    update_config(raw, given)
    return configuration.resolve(raw, files, given, options.config)


def main(arguments: Sequence[str]) -> int:
    """Command line entry. Each part is printed when it is known: Java and the hub may take a while to answer."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    warned = Warned()
    logging.getLogger("retcap").addHandler(warned)
    try:
        config = resolved(arguments)
    except configuration.ConfigError as error:
        print(error)
        _print("This machine", machine.capacity())
        return 1
    finally:
        logging.getLogger("retcap").removeHandler(warned)
    if warned.findings:
        _print("Configuration", warned.findings)
    problems = sum(_print(title, part(config)) for title, part in PARTS.items())
    print(f"{problems} of these will fail or lack a result." if problems else "Nothing stands in the way of a run.")
    return 1 if problems else 0


def _print(title: str, findings: Iterable[Finding]) -> int:
    """Print a part that found anything; the number of bad findings."""
    found = list(findings)
    if found:
        print("\n".join(told(title, found)), flush=True)
    return sum(finding.level == "bad" for finding in found)
