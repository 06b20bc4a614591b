"""What the rules of every study ask while the Snakefile is read: places, amounts, digests of the code.

The plan of a study stands in its `plan` module, see `retcap.studies`. All take the resolved configuration and names,
know nothing of Snakemake, and import nothing heavy.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from retcap import plugins
from retcap.config import shared
from retcap.reruns.digest import recorded

SHAPES_RESULTS = False  # what it answers reaches a script as params and files, and counts there
ALONE = 2  # retries of a rule that may fail alone; see retcap/jobs/failures/killed.py
Amount = TypeVar("Amount")


@dataclass(frozen=True)
class Plan:
    """What all studies share. `config`: the resolved configuration; `workflow`: the folder of scripts and templates."""

    config: Mapping[str, Any]
    workflow: Path

    @property
    def results(self) -> str:
        """Folder of the experiment."""
        return f"results/{self.config['experiment']}"

    @property
    def shared(self) -> dict[str, str]:
        """Folders that experiments share, by their placeholder."""
        return shared.folders(self.config)

    @property
    def config_hash(self) -> str:
        """12 hex digits over the whole configuration: a param that changes with any key, and prints short."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()[:12]

    def gpus(self, count: int) -> int:
        """Number of GPUs to ask for; none when the configuration runs on the CPU."""
        return count if self.config["device"] == "cuda" else 0

    def sized(self, full: Amount, small: Amount) -> Amount:
        """What a job of the full study asks for, or one of the demo: a cluster's short queues take only small jobs."""
        return full if self.config["device"] == "cuda" else small

    def backbone(self, name: str) -> dict[str, Any]:
        """Settings of a backbone, one of those that studies share."""
        return self.config["backbones"][name]

    def backbone_folder(self, name: str) -> str | list[str]:
        """Folder of a backbone, a rule's or the user's own, so that new weights in it count; nothing for a hub id."""
        source = self.backbone(name)["checkpoint"]
        if source == "tiny":
            return f"{self.results}/models/tiny_clip"
        return source if Path(source).is_dir() else []

    def backbone_weights(self, name: str) -> list[str]:
        """Files of a backbone's own checkpoint folder."""
        return checkpoint_files(self.backbone(name)["checkpoint"])

    def code(self, script: str, *files: Path, **names: Iterable[str]) -> str:
        """Digest of a script, of all it imports, of further files, and of plugins: their `names` by kind."""
        used = [plugins.path(kind, name) for kind, own in names.items() for name in own]
        return recorded(self.workflow / f"scripts/{script}.py", *files, *used)

    def templates(self) -> list[Path]:
        """Templates and style sheets of the report, for `code`."""
        return sorted(path for path in (self.workflow / "report").rglob("*") if path.is_file())


class Alone(NamedTuple):
    """What a failure has to know of a rule that may fail alone; see retcap/jobs/failures/alone.py."""

    lower: str = ""  # configuration key to lower where memory runs out; wildcards are filled in
    folders: tuple[str, ...] = ()  # the named outputs that are folders: Snakemake wants a folder in their place


@dataclass(frozen=True)
class StudyPlan:
    """What is asked of every study. Its own rules ask more, which stands in its own class."""

    plan: Plan
    name: ClassVar[str]  # of the study, of its section in the configuration and of its folders
    alone: ClassVar[Mapping[str, Alone]] = {}  # its rules that may fail alone

    @property
    def own(self) -> dict[str, Any]:
        """The study's section of the configuration."""
        return self.plan.config[self.name]

    @property
    def folder(self) -> str:
        """Folder of the study's results."""
        return f"{self.plan.results}/{self.name}"

    @property
    def runs(self) -> bool:
        """Whether it is part of the run."""
        return self.name in self.plan.config["studies"]

    def wildcards(self) -> dict[str, list[str]]:
        """Wildcard of its rules -> the values that it has in this configuration; they match nothing else."""
        return {}

    def reported(self) -> dict[str, Any]:
        """What the report is made of, by name."""
        return {}

    def checked(self) -> dict[str, Any]:
        """What must be there before the run is called good: whatever may have failed alone.

        `summaries` among them are JSON with `failures`, `not_computed` and `models`, as in all_models_summary.json.
        """
        return {}

    def closing_table(self) -> Path | None:
        """The result file that `closing_lines` are read from: they are said where this run wrote it."""
        return None

    def closing_lines(self) -> list[str]:
        """The study in a few lines, for the end of a run."""
        return []

    def set_aside(self) -> dict[str, list[Path]]:
        """Quarantine files by what their records are, for the end of a run."""
        return {}


def checkpoint_files(source: str) -> list[str]:
    """Files of a checkpoint folder of the user's own, nothing for a hub id or a checkpoint that a rule makes.

    Snakemake judges a folder by its own time, which changes with a new file in it but not with one written over.
    """
    folder = Path(source)
    if source in ("tiny", "hub") or not folder.is_dir():
        return []
    return sorted(
        str(file)
        for pattern in ("*", "*_tokenizer/*")  # such as that of InstructBLIP's Q-Former
        for file in folder.glob(pattern)
        if file.is_file() and file.suffix != ".md" and file.name[0] != "."
    )
