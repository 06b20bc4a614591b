"""Vectors of all pictures, captions and references by one CLIP encoder, for CLIPScore."""

from typing import TYPE_CHECKING

from retcap import plugins
from retcap.captions import clip_encoding, clip_features, files
from retcap.captions.clean import clean
from retcap.jobs import job
from retcap.pictures.images import ImagePack

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake, accept_failed=["captions"]) as run:
    own, pairs = snakemake.params.encoder, files.read_items(snakemake.input.pairs)
    said = [files.read_captions(path) for path in snakemake.input.captions if path not in run.failed]
    references = [text for texts in pairs["references"] for text in texts]
    texts = {text for one in said for text in one["cleaned"]} | {*references, *map(clean, references)}
    backbone = plugins.load("backbones", own["plugin"]).load(
        snakemake.input.get("model") or own["checkpoint"], revision=own["revision"]
    )
    images = pairs["image_key"].dropna()
    found = clip_encoding.encode(backbone, own["label"], ImagePack(snakemake.input.pack), images, texts, run.device)
    clip_features.write(found, run.out.features)
