"""What the rules of the prefix captioning study ask while the Snakefile is read."""

import csv
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from retcap.plan import Alone, StudyPlan, checkpoint_files
from retcap.prefix import grid
from retcap.prefix.grid import JOIN, Cell, Run
from retcap.terminal import text_table

SHAPES_RESULTS = False  # what it answers reaches a script as params and files, and counts there
SHOWN = 2  # cells that a job's message names
CLOSING = ("bleu4_coco", "cider")  # metrics at the end of a run


class PrefixPlan(StudyPlan):
    """Cells, runs and their jobs."""

    name = "prefix"
    alone: ClassVar = {
        "train_prefix": Alone("prefix.training.batch_size", ("models",)),
        "caption_prefix": Alone("prefix.decoding.batch_size", ("captions",)),
        "score_prefix": Alone("prefix.cells_per_job", ("scores",)),
    }

    @property
    def backbone_name(self) -> str:
        """Which backbone sees the pictures; empty where there is none at all, and the study cannot run."""
        return self.own["backbone"] or next(iter(self.plan.config["backbones"]), "")

    @property
    def backbone(self) -> dict[str, Any]:
        """Its settings."""
        return self.plan.config["backbones"].get(self.backbone_name) or {}

    @cached_property
    def cells(self) -> list[Cell]:
        """All trainings."""
        seen = {name: self.own[name] for name in ("dataset", "folder", "resize", "compute")}
        return grid.cells(self.own, seen | {"backbone": self.backbone})

    @cached_property
    def decoded(self) -> list[Run]:
        """All runs: cells with a way of decoding."""
        return grid.runs(self.own, self.cells)

    @cached_property
    def training_jobs(self) -> list[str]:
        """Names of the jobs that train: the ids of their cells."""
        found = grid.jobs([[cell.id for cell in self.cells]], self._there("models"), self.own["cells_per_job"])
        return [JOIN.join(job) for job in found]

    @cached_property
    def decoding_jobs(self) -> list[str]:
        """Names of the jobs that decode and score: the ids of their runs, those of one training job together."""
        groups = [[run.id for run in self.decoded if run.cell.id in job.split(JOIN)] for job in self.training_jobs]
        return [JOIN.join(job) for job in grid.jobs(groups, self._there("captions"), self.own["cells_per_job"])]

    def listed(self) -> list[dict[str, Any]]:
        """What `runs.json` says of every run."""
        return [
            run.row() | {"cell_settings": dict(run.cell.settings), "decoding_settings": dict(run.settings)}
            for run in self.decoded
        ]

    def models_of(self, runs: str) -> list[str]:
        """Folders of the training jobs that a job's runs need."""
        wanted = {run.cell.id for run in self.decoded if run.id in runs.split(JOIN)}
        return [f"{self.folder}/models/{job}" for job in self.training_jobs if wanted & set(job.split(JOIN))]

    def said(self, name: str) -> str:
        """The cells or runs of a job in words, for its message."""
        known = {one.id: one.said() for one in (*self.cells, *self.decoded)}
        found = [known[one] for one in name.split(JOIN) if one in known]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return ", ".join(found[:SHOWN]) + more

    def model(self) -> str | list[str]:
        """Folder of the backbone, a rule's or the user's own; nothing for a hub id."""
        return self.plan.backbone_folder(self.backbone_name) if self.backbone else []

    def weights(self) -> list[str]:
        """Files of the backbone's own checkpoint folder."""
        return self.plan.backbone_weights(self.backbone_name) if self.backbone else []

    def pictures(self) -> str | list[str]:
        """Folder of annotations and pictures that a rule makes or that is there; a missing one the job itself tells."""
        folder, made = self.own["folder"], tuple(self.plan.shared.values())
        return folder if folder.startswith(made) or Path(folder).is_dir() else []

    def language_model(self) -> str | list[str]:
        """What the language model is read from: the world that holds it, or files of a folder; nothing for the hub."""
        source, world = self.own["language_model"], self.plan.shared["coco_world"]
        return world if source.startswith(f"{world}/") else checkpoint_files(source)

    def embedding(self) -> dict[str, Any]:
        """How the backbone computes."""
        return {name: self.own[name] for name in ("resize", "compute", "batch_size")}

    def embedding_code(self) -> str:
        """Digest of the embedding, with the plugins of the backbone and of the set."""
        backbones = [self.backbone["plugin"]] if self.backbone else []
        return self.plan.code("embed_prefix", datasets=[self.own["dataset"]], backbones=backbones)

    def scoring(self) -> dict[str, Any]:
        """How captions are scored, by the names of `scoring.Settings`."""
        names = ("metrics", "human_draws", "bootstrap_draws")
        return {name: self.own[name] for name in names} | {"seed": self.plan.config["seed"]}

    def wildcards(self) -> dict[str, list[str]]:
        """Of both kinds of jobs."""
        return {"cells": self.training_jobs, "runs": self.decoding_jobs}

    def files(self, kind: str) -> list[str]:
        """Folders of a kind of all jobs: models, captions or scores."""
        jobs = self.training_jobs if kind == "models" else self.decoding_jobs
        return [f"{self.folder}/{kind}/{job}" for job in jobs]

    def reported(self) -> dict[str, Any]:
        """Summary, what differs, and the features, in whose folder the quarantine lies."""
        return {
            "summary": f"{self.folder}/summary.json",
            "differences": f"{self.folder}/differences.json",
            "features": f"{self.folder}/features",
            "models": self.files("models"),
            "scores": self.files("scores"),
        }

    def checked(self) -> dict[str, list[str]]:
        """Whatever may have failed alone."""
        return {kind: self.files(kind) for kind in ("models", "captions", "scores")}

    def closing_table(self) -> Path | None:
        """One row per run, with its scores."""
        return Path(self.folder, "results.csv")

    def closing_lines(self) -> list[str]:
        """BLEU-4 and CIDEr of every condition: means over the seeds."""
        with open(Path(self.folder, "results.csv"), encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["bleu4_coco"]]
        found: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            words = [row[name] for name in ("mapper", "tuning", "decoding") if row[name]]
            length = f", prefix {row['prefix_length']}" if row["prefix_length"] else ""
            found.setdefault(" ".join(words) + length, []).append(row)
        table = [
            [name, *(f"{100 * sum(float(row[metric]) for row in own) / len(own):.1f}" for metric in CLOSING)]
            for name, own in found.items()
        ]
        return text_table.text_table(["Prefix captioning, means over seeds", "BLEU-4", "CIDEr"], table)

    def set_aside(self) -> dict[str, list[Path]]:
        """Records of the data set that cannot be used."""
        return {"captioned pictures": [Path(self.folder, "features/quarantine.jsonl")]}

    def _there(self, kind: str) -> list[str]:
        """Names of the jobs of whom there are results."""
        folder = Path(self.folder, kind)
        return [path.name for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []


PLAN = PrefixPlan
