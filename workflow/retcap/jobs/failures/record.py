"""A failure record: what a failed job leaves in place of every output, so that the jobs of other systems go on.

Snakemake has no optional inputs: a job without its outputs takes the whole report with it. A record has the path of the
output and nothing of its format. It begins with bytes that are no UTF-8, so no reader of JSON, CSV or text gets past
them, and none of Parquet, NumPy or safetensors; in place of a folder stands a folder with this one file. `job.start`
looks at every input before a script sees it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

SHAPES_RESULTS = False  # see retcap.reruns.digest
MAGIC = b"\xf5\xc1 retcap failure record, no data: the job that should have written this file failed.\n"
FILE = "FAILED"  # in a folder that stands for an output
LONGEST = 600  # characters of a reason; the log has the rest
SYSTEM = (
    "captioner",
    "elsewhere",
    "baseline",
    "system",
    "retriever",
    "encoder",
)  # wildcards that name a compared system


class Failure(msgspec.Struct, frozen=True):
    """One failed job. One that could not run, because others had failed, names those as its causes."""

    kind: Literal["error", "killed", "upstream"]
    rule: str
    wildcards: dict[str, str]
    reason: str
    log: str
    remedy: str = ""
    causes: tuple["Failure", ...] = ()

    @property
    def roots(self) -> tuple["Failure", ...]:
        """The jobs that failed by themselves."""
        return self.causes or (self,)

    @property
    def job(self) -> str:
        """Rule and wildcards, in short."""
        return " ".join([self.rule, "/".join(self.wildcards.values())]).strip()

    @property
    def system(self) -> str | None:
        """Name of the compared system that the job belongs to."""
        return next((self.wildcards[name] for name in SYSTEM if name in self.wildcards), None)

    @property
    def why(self) -> str:
        """The reasons of the roots, each with its job."""
        return why(self.roots)


def write(failure: Failure, path: Path, *, folder: bool) -> None:
    """Put the record in place of an output."""
    if folder:
        path.mkdir(parents=True)
        path = path / FILE
    path.write_bytes(MAGIC + msgspec.json.format(msgspec.json.encode(failure), indent=1) + b"\n")


def read(path: str | Path) -> Failure | None:
    """The record that lies in place of an output; None for a real one."""
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        return None
    with open(file, "rb") as content:
        if content.read(len(MAGIC)) != MAGIC:
            return None
        try:
            return msgspec.json.decode(content.read(), type=Failure)
        except msgspec.MsgspecError as error:
            raise ValueError(
                f"{file}: a failure record that cannot be read ({error}). Delete it and run again."
            ) from error


def among(paths: Iterable[str | Path]) -> dict[str, Failure]:
    """The records among these paths, by path."""
    return {str(path): failure for path in paths if (failure := read(path)) is not None}


def roots(failures: Iterable[Failure]) -> list[Failure]:
    """Every job that failed by itself, once, in the order met."""
    found: list[Failure] = []
    for failure in failures:
        found += [root for root in failure.roots if root not in found]
    return found


def why(failures: Iterable[Failure]) -> str:
    """Reasons in one line, each with its job."""
    return "; ".join(dict.fromkeys(f"{one.reason} ({one.job})" for one in failures))


def one_line(error: BaseException) -> str:
    """Kind and message of an error. Of a long message both ends: a child's last lines say more than its first."""
    text = " ".join(str(error).split())
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def job_name(rule: str, wildcards: Mapping[str, str]) -> Path:
    """Relative path that stands for one job; wildcards by name, because their order is nobody's promise."""
    return Path(rule, *(wildcards[name] for name in sorted(wildcards)))
