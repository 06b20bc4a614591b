"""What the rules of the transfer study ask while the Snakefile is read."""

import csv
from pathlib import Path
from typing import Any, ClassVar

from retcap.plan import Alone, StudyPlan, checkpoint_files
from retcap.terminal import text_table

SHAPES_RESULTS = False  # what it answers reaches a script as params and files, and counts there
PIXELS = "pixels"  # the encoder of raw pixels, as in retcap.transfer.encoders
COLUMNS = ("bare name", "one template", "ensemble", "probe")  # classifiers at the end of a run


class TransferPlan(StudyPlan):
    """Sets, encoders and files of the transfer study."""

    name = "transfer"
    alone: ClassVar = {
        "embed_transfer": Alone("transfer.batch_size", ("features",)),
        "score_transfer": Alone(),
    }

    @property
    def encoders(self) -> list[str]:
        """Backbones in order, then raw pixels."""
        backbones = self.own["backbones"] or list(self.plan.config["backbones"])
        return [*backbones, *([PIXELS] if self.own["pixels"] else [])]

    @property
    def sets(self) -> list[str]:
        """All sets."""
        return list(self.own["sets"])

    @property
    def bases(self) -> list[str]:
        """Sets that are scored for themselves: those that are no shift of another one."""
        return [name for name, one in self.own["sets"].items() if one["shift_of"] is None]

    def shifts(self, base: str) -> list[str]:
        """Sets that are shifts of a set."""
        return [name for name, one in self.own["sets"].items() if one["shift_of"] == base]

    def wildcards(self) -> dict[str, list[str]]:
        """Of all sets and encoders."""
        return {"encoder": self.encoders, "set": self.sets}

    def files(self, name: str) -> str | list[str]:
        """Folder of a set's files; nothing for one that needs none."""
        return self.own["sets"][name]["folder"] or []

    def reading(self, name: str) -> dict[str, Any]:
        """How a set is read."""
        return {key: value for key, value in self.own["sets"][name].items() if key != "shift_of"}

    def backbone(self, encoder: str) -> dict[str, Any] | None:
        """Settings of a backbone; None for raw pixels."""
        return None if encoder == PIXELS else self.plan.config["backbones"][encoder]

    def model(self, encoder: str) -> str | list[str]:
        """Folder of the tiny CLIP, which a rule makes; nothing for other backbones and for raw pixels."""
        own = self.backbone(encoder)
        tiny = own is not None and own["checkpoint"] == "tiny"
        return f"{self.plan.results}/models/tiny_clip" if tiny else []

    def weights(self, encoder: str) -> list[str]:
        """Files of a backbone's own checkpoint folder."""
        own = self.backbone(encoder)
        return [] if own is None else checkpoint_files(own["checkpoint"])

    def gpus(self, encoder: str) -> int:
        """GPUs of a job of one encoder."""
        return 0 if encoder == PIXELS else self.plan.gpus(1)

    def embedding_code(self, encoder: str, name: str) -> str:
        """Digest of the embedding, with the plugins of the backbone and of the set."""
        own = self.backbone(encoder)
        return self.plan.code(
            "embed_transfer",
            datasets=[self.own["sets"][name]["plugin"]],
            backbones=[] if own is None else [own["plugin"]],
        )

    def embedding(self, encoder: str) -> dict[str, Any] | None:
        """How a backbone computes; None for raw pixels."""
        names = ("resize", "compute", "batch_size")
        return None if encoder == PIXELS else {name: self.own[name] for name in names}

    def settings(self) -> dict[str, Any]:
        """What a scoring job is set to, by the names of `retcap.transfer.scoring.Settings`."""
        own, few, probe = self.own, self.own["few_shot"], self.own["probe"]
        return {
            "shots": few["shots"],
            "seeds": few["draws"],
            "few_shot_c": few["c"],
            **probe,
            "overlap_bits": own["near_duplicate_bits"],
            "recall_k": own["k"],
            "draws": own["bootstrap_draws"],
            "seed": self.plan.config["seed"],
        }

    def features(self, encoder: str, name: str) -> str:
        """Folder of the features of a set."""
        return f"{self.folder}/features/{encoder}/{name}"

    def scored(self, kind: str) -> list[str]:
        """Files of this ending of all sets that are scored, by all encoders; sets outside, encoders inside."""
        return [f"{self.folder}/scores/{encoder}/{name}.{kind}" for name in self.bases for encoder in self.encoders]

    def reported(self) -> dict[str, Any]:
        """Summary, differences, and the record of every encoder on every set."""
        return {
            "summary": f"{self.folder}/summary.json",
            "differences": f"{self.folder}/differences.json",
            "records": self.scored("json"),
        }

    def checked(self) -> dict[str, list[str]]:
        """Whatever may have failed alone."""
        features = [self.features(encoder, name) for name in self.sets for encoder in self.encoders]
        return {"features": features, "records": self.scored("json")}

    def closing_table(self) -> Path | None:
        """The long table."""
        return Path(self.folder, "results.csv")

    def closing_lines(self) -> list[str]:
        """Accuracy of every encoder on every set."""
        with open(Path(self.folder, "results.csv"), encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["evaluation"] == "test" and row["metric"] == "top-1"]
        found = {(row["set"], row["encoder"], _column(row["classifier"])): float(row["value"]) for row in rows}
        table = []
        for name, encoder in dict.fromkeys((row["set"], row["encoder"]) for row in rows):
            values = [found.get((name, encoder, column)) for column in COLUMNS]
            shown = [text_table.NOTHING if value is None else f"{100 * value:.1f}" for value in values]
            table.append([f"{name}, {encoder}", *shown])
        head = ["CLIP transfer, top-1 accuracy in percent", *COLUMNS]
        return text_table.text_table(head, table)

    def set_aside(self) -> dict[str, list[Path]]:
        """Pictures that cannot be used: the same for every encoder, so of the first alone."""
        return {name: [Path(self.features(self.encoders[0], name), "quarantine.jsonl")] for name in self.sets}


def _column(classifier: str) -> str:
    return "ensemble" if classifier.startswith("ensemble") else classifier


PLAN = TransferPlan
