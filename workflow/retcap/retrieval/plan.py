"""What the rules of the retrieval study ask while the Snakefile is read."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from retcap import plugins
from retcap.plan import Alone, StudyPlan
from retcap.retrieval import banner
from retcap.retrieval.system_names import RANDOM, UNTRAINED, ZERO_SHOT
from retcap.retrieval.trainings import Training, trainings

SHAPES_RESULTS = False  # what it answers reaches a script as params and files, and counts there
FILES = ("train", "train_passages", "valid", "valid_passages", "test", "passages")  # keys of a data set
ELSEWHERE = ("freeze", "seeds", "keep_best_per_set")  # training keys of the model, of the names and of the outputs


@dataclass(frozen=True)
class RetrievalPlan(StudyPlan):
    """Systems, settings and files of the retrieval study."""

    name = "retrieval"
    alone: ClassVar = {
        "build_retriever": Alone(folders=("model",)),
        "train_retriever": Alone("retrieval.training.per_device_batch_size", folders=("model", "best")),
        "embed_retrieval": Alone("retrieval.embedding.batch_size"),
        "search_retrieval": Alone("retrieval.search.memory_mb"),
        "compare_indexes": Alone("retrieval.search.memory_mb"),
        "score_retrieval": Alone("retrieval.bootstrap_draws"),
    }

    @property
    def world(self) -> str:
        """Folder of the generated data sets."""
        return self.plan.shared["m2kr_world"]

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets."""
        return list(self.own["datasets"])

    @property
    def retrievers(self) -> list[str]:
        """Names of the retrievers."""
        return list(self.own["retrievers"])

    @cached_property
    def trainings(self) -> dict[str, Training]:
        """Every training by name: each retriever once per seed."""
        return trainings(self.own["retrievers"], self.own["training"]["seeds"], self.plan.config["seed"])

    @property
    def systems(self) -> list[str]:
        """Names of all compared systems, baselines first."""
        names = {
            "random": [RANDOM],
            "zero_shot": [f"{ZERO_SHOT}{name}" for name in self.plan.config["backbones"]],
            "untrained": [f"{UNTRAINED}{name}" for name in self.own["retrievers"]],
        }
        return [name for kind in self.own["baselines"] for name in names[kind]] + list(self.trainings)

    @property
    def shards(self) -> range:
        """Numbers of the embedding shards."""
        return range(self.own["embedding"]["shards"])

    @property
    def metrics(self) -> list[str]:
        """Names of all metric plugins for retrieval."""
        return plugins.names("metrics", "retrieval")

    def settings(self, dataset: str, *names: str) -> dict[str, Any]:
        """The named settings of a data set."""
        own = self.own["datasets"][dataset]
        return {name: own[name] for name in names}

    def weights(self) -> dict[str, float]:
        """How often an epoch shows each training row of every data set."""
        return {name: settings["weight"] for name, settings in self.own["datasets"].items()}

    def files(self, dataset: str) -> list[str]:
        """Input files of a data set; for generated ones the folder that a rule makes."""
        files = [file for part in FILES for file in self.own["datasets"][dataset][part]]
        return sorted({self.world if self._is_generated(file) else file for file in files})

    def probe(self, dataset: str) -> str | list[str]:
        """What a look for some pictures found, before a set is read; nothing for a generated one."""
        return [] if self.world in self.files(dataset) else f"{self.folder}/probes/{dataset}.json"

    def generated(self) -> list[str]:
        """Data sets whose test queries the pipeline makes itself."""
        return [name for name, own in self.own["datasets"].items() if any(map(self._is_generated, own["test"]))]

    def retriever(self, training: str) -> dict[str, Any]:
        """Settings of the retriever that a training trains."""
        return self.own["retrievers"][self.trainings[training].retriever]

    def backbone_name(self, training: str) -> str:
        """Name of the backbone on which the retriever of a training stands."""
        return self.retriever(training)["backbone"]

    def training_code(self, script: str, training: str) -> str:
        """Digest of a script that builds or trains a retriever, with the plugin of its backbone."""
        return self.plan.code(script, backbones=[self.plan.backbone(self.backbone_name(training))["plugin"]])

    def training_settings(self) -> dict[str, Any]:
        """Training settings that reach the script; the others belong to the model, to the names and to the outputs."""
        return {name: value for name, value in self.own["training"].items() if name not in ELSEWHERE}

    def side_px(self, system: str) -> int | None:
        """Side of the pictures that a system takes; None for random vectors, which take none."""
        return None if system == RANDOM else self.plan.backbone(self._backbone_of(system))["side_px"]

    def sides_px(self) -> list[int]:
        """Every side that some system takes. The first is the main retriever's, which is also audited and screened."""
        found = [self.side_px(name) for name in [*self.retrievers[:1], *self.systems]]
        return list(dict.fromkeys(side for side in found if side is not None))

    def pack(self, dataset: str, side_px: int) -> str:
        """Folder of the pictures of a data set in squares of this side."""
        return f"{self.folder}/pack/{side_px}px/{dataset}"

    def system_pack(self, system: str, dataset: str) -> str | list[str]:
        """Folder of the pictures of a data set as a system takes them; nothing for random vectors."""
        side = self.side_px(system)
        return [] if side is None else self.pack(dataset, side)

    def main_pack(self, dataset: str) -> str:
        """Folder of the pictures that stand for a data set where no system is meant."""
        return self.pack(dataset, self.sides_px()[0])

    def pack_mb(self, side_px: int) -> int:
        """Disk space of a pack: measured at 224 px on the largest set of M2KR, and as much more as a picture has."""
        at_224 = {"jpeg": 60000}.get(self.own["pack"]["encoding"], 400000)
        return self.plan.sized(math.ceil(at_224 * side_px**2 / 224**2), 2000)

    def zero_shot(self, system: str) -> str | None:
        """Name of the backbone that a zero-shot system is; None for the others."""
        return system.removeprefix(ZERO_SHOT) if system.startswith(ZERO_SHOT) else None

    def system_backbone(self, system: str) -> dict[str, Any] | None:
        """Settings of the backbone that a zero-shot system is; None for the others."""
        name = self.zero_shot(system)
        return self.plan.backbone(name) if name is not None else None

    def system_folder(self, system: str) -> str | list[str]:
        """Folder of a system's model, if a rule makes it."""
        if system == RANDOM:
            return []
        name = self.zero_shot(system)
        return self.plan.backbone_folder(name) if name is not None else f"{self.plan.results}/models/{system}"

    def system_weights(self, system: str) -> list[str]:
        """Files of the own checkpoint folder that a zero-shot system is; nothing for the others."""
        name = self.zero_shot(system)
        return self.plan.backbone_weights(name) if name is not None else []

    def system_checkpoint(self, system: str) -> str | None:
        """Hub id and revision, or folder, of weights that no rule makes; None for the others."""
        own = self.system_backbone(system)
        if own is None or own["checkpoint"] == "tiny":
            return None
        return own["checkpoint"] + (f"@{own['revision']}" if own["revision"] else "")

    def system_gpus(self, system: str) -> int:
        """GPUs of a job of one system; random vectors need none, to be drawn or to be searched."""
        return 0 if system == RANDOM else self.plan.gpus(1)

    def embedding_code(self, system: str) -> str:
        """Digest of the embedding script with the backbone plugin that the system uses."""
        if system == RANDOM:
            return self.plan.code("embed_retrieval")
        return self.plan.code("embed_retrieval", backbones=[self.plan.backbone(self._backbone_of(system))["plugin"]])

    def results(self, pattern: str) -> list[str]:
        """One path per (system, data set) below the study's results, systems first."""
        return [
            f"{self.folder}/{pattern}".format(encoder=system, dataset=dataset)
            for system in self.systems
            for dataset in self.datasets
        ]

    def wildcards(self) -> dict[str, list[str]]:
        """Wildcard -> its values."""
        sides = [str(side) for side in self.sides_px()]
        names = {"dataset": self.datasets, "retriever": list(self.trainings), "encoder": self.systems}
        return {**names, "side_px": sides}

    def reported(self) -> dict[str, Any]:
        """What the report is made of, by name."""
        folder, main = self.folder, self.retrievers[0]
        return {
            "table": f"{folder}/results.csv",
            "parameters": f"{folder}/parameters.json",
            "results": self.results("scores/{encoder}/{dataset}.json"),
            "differences": f"{folder}/differences.json",
            "curves": [f"{folder}/curves/{name}.json" for name in self.trainings],
            "data": self._per_set("data/{}"),
            "audits": self._per_set("audit/{}.json"),
            "indexes": self._per_set(f"indexes/{main}/{{}}.json"),
            "images": self._per_set("images/{}.json"),
            "packs": [self.pack(name, side) for side in self.sides_px() for name in self.datasets],
            "hits": self._per_set(f"hits/{main}/{{}}.parquet"),
        }

    def checked(self) -> dict[str, list[str]]:
        """What must be there before the run is called good: whatever may have failed alone."""
        return {
            "parameters": [f"{self.folder}/parameters/{name}.json" for name in self.retrievers],
            "curves": [f"{self.folder}/curves/{name}.json" for name in self.trainings],
            "scores": self.results("scores/{encoder}/{dataset}.json"),
            "indexes": self._per_set(f"indexes/{self.retrievers[0]}/{{}}.json"),
        }

    def best_per_set(self) -> dict[str, str]:
        """Further output of a training, a folder: the best model of each data set, if they are kept."""
        kept = self.own["training"]["keep_best_per_set"]
        return {"best": f"{self.plan.results}/models/best-per-set/{{retriever}}"} if kept else {}

    def closing_table(self) -> Path:
        """The table of all systems."""
        return Path(self.folder, "results.csv")

    def closing_lines(self) -> list[str]:
        """Every short measure at the headline cut-off."""
        several = Path(self.folder, "trainings.csv")
        return banner.banner(self.closing_table(), list(self.trainings), several if several.is_file() else None)

    def set_aside(self) -> dict[str, list[Path]]:
        """Lines of every data set that could not be used."""
        folders = {name: Path(self.folder, "normalised", name) for name in self.datasets}
        titles = {name: plugins.load("datasets", name).CARD.title for name in folders}
        return {titles[name]: sorted(folder.glob("*/quarantine.jsonl")) for name, folder in folders.items()}

    def _backbone_of(self, system: str) -> str:
        """Name of the backbone of any system but random vectors."""
        made = self.trainings.get(system.removeprefix(UNTRAINED))
        return self.own["retrievers"][made.retriever]["backbone"] if made else system.removeprefix(ZERO_SHOT)

    def _per_set(self, pattern: str) -> list[str]:
        return [f"{self.folder}/{pattern.format(name)}" for name in self.datasets]

    def _is_generated(self, file: str) -> bool:
        return file.startswith(f"{self.world}/")


PLAN = RetrievalPlan
