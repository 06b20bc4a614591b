"""The rules that may fail alone. A rule that stands here has three lines in its rule file:

    retries: ALONE
    resources:  attempt=attempt
    params:     again=again("<rule>")

All others stop what depends on them: there is nothing to compare where the data could not be read.
"""

from collections.abc import Mapping
from typing import NamedTuple

SHAPES_RESULTS = False  # see retcap.reruns.digest


class Alone(NamedTuple):
    """What a failure has to know of a rule."""

    lower: str = ""  # configuration key to lower where memory runs out; wildcards are filled in
    folders: tuple[str, ...] = ()  # the named outputs that are folders: Snakemake wants a folder in their place


RULES = {
    "train_tiny_captioner": Alone("captioning.tiny.batch_size", folders=("model",)),
    "caption": Alone("captioning.options.{captioner}.batch_size"),
    "merge_captions": Alone(),
    "caption_elsewhere": Alone(),
    "caption_human": Alone(),
    "caption_blind": Alone(),
    "clean_captions": Alone(),
    "count_caption_ngrams": Alone(),
    "find_spice_parser": Alone(),
    "score_captions": Alone("captioning.bootstrap_draws"),
    "validate_metrics": Alone(),
    "build_retriever": Alone(folders=("model",)),
    "train_retriever": Alone("retrieval.training.per_device_batch_size", folders=("model", "best")),
    "embed_retrieval": Alone("retrieval.embedding.batch_size"),
    "search_retrieval": Alone("retrieval.search.memory_mb"),
    "compare_indexes": Alone("retrieval.search.memory_mb"),
    "score_retrieval": Alone("retrieval.bootstrap_draws"),
}


def more_memory(rule: str, wildcards: Mapping[str, str], asked_mb: int | None = None) -> str:
    """What to do for a job that ran out of memory. `asked_mb`: what it had asked for; None where a GPU's ran out."""
    key = RULES[rule].lower.format(**wildcards)
    remedies = [f"lower `{key}`"] if key else []
    if asked_mb is not None:
        remedies.append(f"give it more than {asked_mb} MB (on a cluster: `--set-resources {rule}:mem_mb=...`)")
    said = ", or ".join(remedies) or "use a smaller model"
    return f"{said[0].upper()}{said[1:]}."
