"""What the rules of the transfer study ask while the Snakefile is read."""

import csv
from pathlib import Path
from typing import Any, ClassVar

from retcap.plan import Alone, StudyPlan
from retcap.terminal import text_table

SHAPES_RESULTS = False  # what it answers reaches a script as params and files, and counts there
PIXELS = "pixels"  # the encoder of raw pixels, as in retcap.features.encoders
COLUMNS = ("bare name", "one template", "ensemble", "probe")  # classifiers at the end of a run


class TransferPlan(StudyPlan):
    """Sets, encoders and files of the transfer study."""

    name = "transfer"
    alone: ClassVar = {
        "embed_transfer": Alone("transfer.batch_size", ("features",)),
        "score_transfer": Alone(folders=("scores",)),
    }

    @property
    def backbones(self) -> list[str]:
        """Backbones in order."""
        return self.own["backbones"] or list(self.plan.config["backbones"])

    @property
    def encoders(self) -> list[str]:
        """Backbones, then raw pixels."""
        return [*self.backbones, *([PIXELS] if self.own["pixels"] else [])]

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

    @property
    def bundles(self) -> dict[str, list[tuple[str, str]]]:
        """The (encoder, set) of every job that embeds: every set by one backbone, or one set if they are large.

        Raw pixels cost next to nothing and go with the first backbone.
        """
        apart = self.own["jobs"] == "set"
        found: dict[str, list[tuple[str, str]]] = {}
        for backbone in self.backbones:
            also = [PIXELS] if self.own["pixels"] and backbone == self.backbones[0] else []
            for name in self.sets:
                bundle = f"{backbone}/{name}" if apart else backbone
                found.setdefault(bundle, []).extend((encoder, name) for encoder in [backbone, *also])
        return found

    def wildcards(self) -> dict[str, list[str]]:
        """Of all jobs."""
        return {"bundle": list(self.bundles)}

    def backbone(self, bundle: str) -> str:
        """Name of the backbone of a job."""
        return self.bundles[bundle][0][0]

    def files(self, bundle: str) -> list[str]:
        """Folders of the sets of a job that a rule makes or that are there: a missing one is told by the job itself."""
        folders = (self.own["sets"][name]["folder"] for _, name in self.bundles[bundle])
        made = tuple(self.plan.shared.values())
        return list(dict.fromkeys(one for one in folders if one and (one.startswith(made) or Path(one).is_dir())))

    def trained_on(self, bundle: str) -> str | None:
        """CSV of the pictures that the backbone of a job was trained on; None where nobody says."""
        name = self.backbone(bundle)
        known = self.plan.backbone(name)["checkpoint"] == "tiny"
        return self.own["trained_on"].get(name, f"{self.plan.shared['m2kr_world']}/pairs.csv" if known else None)

    def pictures(self, bundle: str) -> str | list[str]:
        """The file of `trained_on`, or the folder that a rule makes it in."""
        file, world = self.trained_on(bundle), self.plan.shared["m2kr_world"]
        return [] if file is None else world if file.startswith(f"{world}/") else file

    def readings(self, bundle: str) -> list[dict[str, Any]]:
        """What a job embeds: encoder, set, and how the set is read."""
        return [
            {"encoder": encoder, "set": name}
            | {key: value for key, value in self.own["sets"][name].items() if key != "shift_of"}
            for encoder, name in self.bundles[bundle]
        ]

    def embedding_code(self, bundle: str) -> str:
        """Digest of the embedding, with the plugins of the backbone and of the sets."""
        datasets = sorted({self.own["sets"][name]["plugin"] for _, name in self.bundles[bundle]})
        own = self.plan.backbone(self.backbone(bundle))
        return self.plan.code("embed_transfer", datasets=datasets, backbones=[own["plugin"]])

    def embedding(self) -> dict[str, Any]:
        """How backbones compute."""
        return {name: self.own[name] for name in ("resize", "compute", "batch_size")}

    def features(self, encoder: str, name: str) -> str:
        """Folder of the features of a set."""
        return f"{self._bundle_folder(encoder, name)}/{encoder}/{name}"

    def embedded(self, bundle: str) -> list[str]:
        """Folders that the scores of a job need: its own features, and those of shifts."""
        pairs = [
            (encoder, one)
            for encoder, name in self.bundles[bundle]
            if name in self.bases
            for one in (name, *self.shifts(name))
        ]
        return list(dict.fromkeys(self._bundle_folder(*pair) for pair in pairs))

    def scorings(self, bundle: str) -> list[dict[str, Any]]:
        """What a job scores: encoder, set, folder of its features, and those of its shifts."""
        return [
            {
                "encoder": encoder,
                "set": name,
                "features": self.features(encoder, name),
                "trained_on": self._hashes(bundle, encoder),
                "shifts": {shift: self.features(encoder, shift) for shift in self.shifts(name)},
            }
            for encoder, name in self.bundles[bundle]
            if name in self.bases
        ]

    def settings(self) -> dict[str, Any]:
        """What a scoring job is set to, by the names of `retcap.transfer.scoring.Settings`."""
        own, few, probe = self.own, self.own["few_shot"], self.own["probe"]
        return {
            "shots": few["shots"],
            "seeds": few["draws"],
            "few_shot_c": few["c"],
            **probe,
            "overlap_bits": own["near_duplicate_bits"],
            "overlap_cosine": own["near_duplicate_cosine"],
            "recall_k": own["k"],
            "draws": own["bootstrap_draws"],
            "seed": self.plan.config["seed"],
        }

    @property
    def scored(self) -> list[str]:
        """Folders of scores, one per job."""
        return [f"{self.folder}/scores/{bundle}" for bundle in self.bundles if self.scorings(bundle)]

    def scores(self) -> list[tuple[str, str, str]]:
        """Set, encoder and folder of every score; sets outside, encoders inside."""
        folders = {pair: f"{self.folder}/scores/{bundle}" for bundle, pairs in self.bundles.items() for pair in pairs}
        return [(name, encoder, folders[encoder, name]) for name in self.bases for encoder in self.encoders]

    def reported(self) -> dict[str, Any]:
        """Summary, differences, and the scores of every job."""
        return {
            "summary": f"{self.folder}/summary.json",
            "differences": f"{self.folder}/differences.json",
            "scores": self.scored,
        }

    def checked(self) -> dict[str, list[str]]:
        """Whatever may have failed alone."""
        return {"features": [f"{self.folder}/features/{bundle}" for bundle in self.bundles], "scores": self.scored}

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

    def _hashes(self, bundle: str, encoder: str) -> str | None:
        known = encoder != PIXELS and self.trained_on(bundle) is not None
        return f"{self.folder}/features/{bundle}/trained_on.npy" if known else None

    def _bundle_folder(self, encoder: str, name: str) -> str:
        bundle = next(bundle for bundle, pairs in self.bundles.items() if (encoder, name) in pairs)
        return f"{self.folder}/features/{bundle}"


def _column(classifier: str) -> str:
    return "ensemble" if classifier.startswith("ensemble") else classifier


PLAN = TransferPlan
