"""The retriever with its folder: it loads and saves as models of transformers do."""

from pathlib import Path
from typing import Any

from retcap.retriever import checkpoint
from retcap.retriever.network import RetrieverNetwork


class RetrieverModel(RetrieverNetwork):
    """The network, and how it comes from a folder and into one."""

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> "RetrieverModel":
        """See `retcap.retriever.checkpoint.load`."""
        return checkpoint.load(source, kind=cls, **options)[0]

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write config.json, model.safetensors and tokenizer files; the folder appears complete or not at all."""
        return checkpoint.save(self, Path(folder))
