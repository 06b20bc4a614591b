"""What the rules of the captioning study ask while the Snakefile is read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from retcap import plugins
from retcap.captioning import asked, banner
from retcap.plan import Alone, StudyPlan, checkpoint_files
from retcap.records import CaptionerCard
from retcap.worlds import recipes

SHAPES_RESULTS = False  # what it answers reaches a script as params and files, and counts there
SHAPING = (
    "limit",
    "require_images",
    "max_width_px",
    "max_height_px",
    "download_to",
    "pack_encoding",
)  # pairs and pixels
GENERATED = "generated"  # said of a CSV that a rule makes: it cannot be read in advance, and is an input


@dataclass(frozen=True)
class CaptioningPlan(StudyPlan):
    """Systems, options and files of the captioning study."""

    name = "captioning"
    alone: ClassVar = {
        "train_tiny_captioner": Alone("captioning.tiny.batch_size", folders=("model",)),
        "caption": Alone("captioning.options.{captioner}.batch_size"),
        "merge_captions": Alone(),
        "caption_elsewhere": Alone(),
        "caption_human": Alone(),
        "caption_blind": Alone(),
        "clean_captions": Alone(),
        "count_caption_ngrams": Alone(),
        "find_spice_parser": Alone(),
        "encode_captions": Alone(),
        "score_captions": Alone("captioning.bootstrap_draws"),
        "validate_metrics": Alone(),
    }

    @property
    def systems(self) -> list[str]:
        """Names of all systems that are scored: models and captions made elsewhere, then baselines."""
        return self.ranked + self.own["baselines"]

    @property
    def ranked(self) -> list[str]:
        """Names of the systems that are compared with one another: models, then captions made elsewhere."""
        return self.own["models"] + list(self.own["predictions"])

    @property
    def generated(self) -> bool:
        """Whether captions to be scored are the pipeline's own, those of the baseline `human` too."""
        return self._is_generated("csv")

    @property
    def shards(self) -> range:
        """Numbers of the jobs that share one model's captions; none where one job writes them all."""
        count = self.own["shards"]
        return range(count if count > 1 else 0)

    @property
    def part(self) -> str:
        """What one captioning job is about, as wildcards: a model, or a shard of it."""
        return "{captioner}/{shard}" if self.shards else "{captioner}"

    @property
    def part_in_words(self) -> str:
        """The same in the message of a job."""
        return "{wildcards.captioner}" + (", shard {wildcards.shard}" if self.shards else "")

    def option(self, captioner: str, name: str) -> Any:
        """One setting of a captioner, its own or else the study's."""
        own = self.own["options"].get(captioner, {}).get(name)
        return self.own.get(name) if own is None else own

    def card(self, captioner: str) -> CaptionerCard:
        """What a captioner says of itself."""
        return plugins.load("captioners", captioner).CARD

    def made_checkpoint(self, captioner: str) -> str | list[str]:
        """Folder of a captioner's tiny checkpoint, made by a rule; nothing when a ready checkpoint is named."""
        tiny = self.option(captioner, "checkpoint") == "tiny"
        return f"{self.plan.results}/models/{captioner}" if tiny else []

    def training_code(self, captioner: str) -> str:
        """Digest of the training of a tiny checkpoint: its recipe, and the captioner whose prompts it is trained on."""
        return self.plan.code("train_tiny_captioner", recipes.path(captioner), captioners=[captioner])

    def weights(self, captioner: str) -> list[str]:
        """Files of a captioner's own checkpoint folder."""
        return checkpoint_files(self.option(captioner, "checkpoint"))

    def made_images(self, csv: str) -> str | list[str]:
        """The generated images that belong to the CSV of a key, where a rule makes it; nothing for one's own."""
        return f"{self.plan.shared['panorama_world']}/images" if self._is_generated(csv) else []

    def asked(self) -> str:
        """What there is to caption: pairs, pictures, and all that shapes the pixels and the pairs."""
        if self.generated:
            return GENERATED
        own = self.own
        settings = {name: own[name] for name in SHAPING} | {"code": self.reading_code()}
        return asked.asked(csvs(own["csv"]), own["dataset"], own["columns"], own["images_root"], settings)

    def pictures(self, csv: str) -> str:
        """Which pictures of the CSV of a key are there, so that new ones count."""
        own = self.own
        if self._is_generated(csv):
            return GENERATED
        return asked.pictures(csvs(own[csv]), own["dataset"], own["columns"], own["images_root"])

    def reading_code(self) -> str:
        """Digest of all that reads a caption CSV and its pictures."""
        return self.plan.code("prepare_captions", datasets=[self.own["dataset"]])

    def human_captions(self) -> str | list[str]:
        """Captions of the human baseline, which say what is held out where systems are compared with it."""
        return f"{self.folder}/captions/human.parquet" if "human" in self.own["baselines"] else []

    def spice_parser(self) -> str | list[str]:
        """What was found of the parser that SPICE needs; nothing where the configuration does not ask for one."""
        own = self.own["spice"]
        wanted = "spice" in self.own["metrics"] and (own["download"] or own["jars"])
        return f"{self.folder}/spice_parser.json" if wanted else []

    def spice_heap_mb(self) -> int:
        """Memory of the parser of SPICE, where it runs."""
        return self.own["spice"]["heap_mb"] if self.spice_parser() else 0

    @property
    def encoder(self) -> dict[str, Any] | None:
        """The backbone that CLIPScore stands on, with what its values are labelled by; None where there is none.

        The tiny one knows drawn worlds alone, so it judges no captions of the user's own.
        """
        name = self.own["encoder"]
        if name not in self.plan.config["backbones"] or "clipscore" not in self.own["metrics"]:
            return None  # null, or the default where `backbones` has no tiny one
        own = self.plan.backbone(name)
        if own["checkpoint"] == "tiny":
            return own | {"label": "tiny"} if self.generated else None
        return own | {"label": own["checkpoint"] + (f"@{own['revision'][:12]}" if own["revision"] else "")}

    def encoder_files(self) -> list[str]:
        """Folder and files of that backbone, so that new weights in it count."""
        if self.encoder is None:
            return []
        name = self.own["encoder"]
        return [*csvs(self.plan.backbone_folder(name) or None), *self.plan.backbone_weights(name)]

    def encoding_code(self) -> str:
        """Digest of all that makes the vectors."""
        return self.plan.code("encode_captions", backbones=[self.encoder["plugin"]] if self.encoder else [])

    def clip_features(self) -> str | list[str]:
        """Vectors of all captions and pictures; nothing without an encoder."""
        return f"{self.folder}/clip_features.parquet" if self.encoder else []

    def wildcards(self) -> dict[str, list[str]]:
        """Wildcard -> its values."""
        return {
            "captioner": self.own["models"],
            "elsewhere": list(self.own["predictions"]),
            "system": self.systems,
        }

    def agreement(self) -> str | list[str]:
        """How far the metrics agree with people; nothing where no judgements are named."""
        return f"{self.folder}/metric_agreement.json" if self.own["judgements"] else []

    def reported(self) -> dict[str, Any]:
        """What the report is made of, by name."""
        folder = self.folder
        return {
            "summary": f"{folder}/all_models_summary.json",
            "differences": f"{folder}/differences.json",
            "ranks": f"{folder}/ranks.csv",
            "pairs": f"{folder}/pairs.parquet",
            "pack": f"{folder}/pack",
            "coverage": f"{folder}/coverage.json",
            "quarantine": f"{folder}/quarantine.jsonl",
            "agreement": self.agreement(),
            "captions": [f"{folder}/cleaned/{system}.parquet" for system in self.systems],
            "scores": [f"{folder}/scores/{system}.parquet" for system in self.systems],
        }

    def checked(self) -> dict[str, Any]:
        """What must be there before the run is called good: whatever may have failed alone, and the summaries."""
        return {
            "summaries": [f"{self.folder}/all_models_summary.json"],
            "captions": [f"{self.folder}/captions/{system}.json" for system in self.systems],
            "metrics": [f"{self.folder}/{system}_metrics.json" for system in self.systems],
            "agreement": self.agreement(),
        }

    def closing_table(self) -> Path:
        """The summary."""
        return Path(self.folder, "all_models_summary.json")

    def closing_lines(self) -> list[str]:
        """One line per system."""
        return banner.banner(json.loads(self.closing_table().read_text(encoding="utf-8")), self.generated)

    def set_aside(self) -> dict[str, list[Path]]:
        """Rows of the CSVs that could not be used."""
        folder = Path(self.folder)
        elsewhere = self.own["predictions"]
        return {
            "captions": [folder / "quarantine.jsonl"],
            **{f"captions of {name}": [folder / f"captions/{name}_quarantine.jsonl"] for name in elsewhere},
            "training captions": [folder / "training/quarantine.jsonl"],
        }

    def _is_generated(self, csv: str) -> bool:
        return any(path.startswith(f"{self.plan.shared['panorama_world']}/") for path in csvs(self.own[csv]))


def csvs(given: str | list[str] | None) -> list[str]:
    """One path, several or none, as the configuration gives them, as a list."""
    return [given] if isinstance(given, str) else list(given or [])


PLAN = CaptioningPlan
