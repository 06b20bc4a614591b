"""The models of a configuration: whether the weights of each can be had, and whether it fits the machine."""

from collections.abc import Iterator, Sequence
from typing import Any

from retcap import plugins
from retcap.config import studies
from retcap.doctor import machine, weights
from retcap.doctor.findings import Finding, bad, good, note
from retcap.doctor.weights import Wanted
from retcap.jobs import hub
from retcap.records import CaptionerCard

SHAPES_RESULTS = False  # see retcap.reruns.digest
BYTES_PER_WEIGHT = 2  # bfloat16
BYTES_ON_CPU = 4  # float32


def models(config: dict[str, Any]) -> Iterator[Finding]:
    """Findings per captioner and backbone, then on the disk that their downloads need."""
    cards = {name: plugins.load("captioners", name).CARD for name in _captioners(config)}
    chosen = [_captioner(config["captioning"], card) for card in cards.values()] + list(_backbones(config))
    tiny = [one.name for one in chosen if one.source == "tiny"]
    if tiny:
        yield good(f"Tiny checkpoints, built and trained by the run: {', '.join(tiny)}")
    unreachable = hub.unreachable() if any(weights.is_hub_id(one.source) for one in chosen) else None
    if unreachable is not None:
        yield note(f"The hub is out of reach: {unreachable}.", "Weights have to come from its cache, or from folders.")
    gpus, missing_gb = machine.gpus(), 0.0
    for one in chosen:
        if one.source == "tiny":
            continue
        found, gigabytes = weights.finding(one, online=unreachable is None)
        missing_gb += gigabytes
        yield found
        if one.name in cards:
            yield from _room(cards[one.name], gpus, config["device"])
    if missing_gb:
        yield weights.room(missing_gb)


def _captioners(config: dict[str, Any]) -> list[str]:
    return config["captioning"]["models"] if "captioning" in config["studies"] else []


def _captioner(own: dict[str, Any], card: CaptionerCard) -> Wanted:
    options = own["options"].get(card.name) or {}
    source = options.get("checkpoint") or own["checkpoint"]
    source = card.model_id if source == "hub" else source
    revision = options.get("revision") or (card.revision if source == card.model_id else None)
    key = f"captioning.options.{card.name}.checkpoint"
    return Wanted(card.name, source, revision, key, card.params_b * BYTES_PER_WEIGHT)


def _backbones(config: dict[str, Any]) -> Iterator[Wanted]:
    if any(studies.ALL[study].backbones for study in config["studies"]):
        for name, own in config["backbones"].items():
            yield Wanted(f"backbone {name}", own["checkpoint"], own["revision"], f"backbones.{name}.checkpoint")


def _room(card: CaptionerCard, gpus: Sequence[machine.Gpu], device: str) -> Iterator[Finding]:
    """Whether the machine is large enough for a captioner; a job takes one GPU, whichever is free."""
    if device == "cpu":
        gigabytes = card.params_b * BYTES_ON_CPU
        text = (
            f"{card.name} will run on the CPU: float32, about {gigabytes:.0f} GB of memory, minutes for each caption."
        )
        yield note(text, "Set `device: cuda` on a machine with a GPU.")
        if machine.memory_mb() < gigabytes * 1000:
            yield bad(
                f"{card.name} does not fit the {machine.memory_mb() / 1000:.0f} GB of memory of this machine.",
                "Take a machine with a GPU, or leave the model out of captioning.models.",
            )
        return
    small = [gpu for gpu in gpus if gpu.memory_gb < card.gpu_mem_gb]
    if small:
        which = ", ".join(f"GPU {gpu.index} has {gpu.memory_gb:.0f}" for gpu in small)
        yield bad(
            f"{card.name} needs about {card.gpu_mem_gb} GB of GPU memory: {which}.",
            "Hide the small GPUs by CUDA_VISIBLE_DEVICES, take a larger one, or leave the model out of "
            "captioning.models. A lower batch size saves little: most of it are weights.",
        )
    elif gpus:
        yield good(f"{card.name} needs about {card.gpu_mem_gb} GB of GPU memory, which every GPU here has")
    if machine.memory_mb() < card.mem_mb:
        yield note(
            f"{card.name} asks for {card.mem_mb / 1000:.0f} GB of main memory while it loads, more than this machine "
            "has.",
            f"It may still load: give Snakemake `--set-resources caption:mem_mb={int(machine.memory_mb())}`.",
        )
