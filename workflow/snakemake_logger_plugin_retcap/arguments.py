"""Clear errors for `--configfile` and `--config`, which Snakemake reads before any Snakefile can say a word.

Of a broken file it tells neither name nor line, and of an argument without `=` it prints a traceback. Nothing changes
for what it understands. The package retcap is imported only once something is wrong, when no workflow will be read.
"""

import re
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

KEY = r"[a-zA-Z_][\w-]*\w="  # what Snakemake takes as the key of `--config`


def install() -> None:
    """Wrap what the command line reads configuration with; another version of Snakemake may have none of it."""
    from snakemake import cli

    for name, wrapper in (("ConfigSettings", _files), ("parse_config", _arguments)):
        function = getattr(cli, name, None)
        if function is not None and not hasattr(function, "__wrapped__"):
            setattr(cli, name, wrapper(function))


def _files(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function, updated=())
    def read(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception:
            explained = _explained(named.get("configfiles") or ())
            if not explained:
                raise
            _stop(explained)

    return read


def _arguments(function: Callable[[Sequence[str] | None], dict]) -> Callable[[Sequence[str] | None], dict]:
    @wraps(function)
    def parse(entries: Sequence[str] | None) -> dict:
        wrong = [_advice(entry) for entry in entries or () if not re.match(KEY, entry)]
        if wrong:
            _stop(wrong)
        return function(entries)

    return parse


def _stop(lines: Sequence[str]) -> NoReturn:
    """End without the traceback that Snakemake prints with its own errors."""
    from snakemake.logging import logger

    logger.error("\n".join(lines))
    raise SystemExit(1)


def _advice(entry: str) -> str:
    if Path(entry).suffix in (".yaml", ".yml", ".json"):
        return f"--config {entry}: takes key=value. For a file of settings: --configfile {entry}"
    if "/" in entry:
        return f"--config {entry}: takes key=value. If this is a target, put it behind two dashes: -- {entry}"
    return f"--config {entry}: takes key=value, such as seed=1"


def _explained(files: Sequence[Path]) -> list[str]:
    from retcap.config import errors

    return errors.faults([_seen(file) for file in files])


def _seen(file: Path) -> Path:
    """A file as it would be named from here."""
    path = Path(file).absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
