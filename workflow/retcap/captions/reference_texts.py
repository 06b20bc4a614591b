"""What all systems need of the references of a study, made once: their PTB tokens, and METEOR's table cut to them."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from retcap.captions import paraphrases
from retcap.captions.context import Context


class ReferenceTexts:
    """Tokens by text, and the path of the table; None where METEOR is not asked for."""

    def __init__(self, tokens: dict[str, str], table: Path | None):
        self.tokens, self.table = tokens, table

    @cached_property
    def _tokenised(self) -> frozenset[str]:
        return frozenset(self.tokens.values())

    def table_for(self, references: Iterable[Sequence[str]]) -> Path | None:
        """The cut table, if it was cut for all of these tokenised references: for others it may lack entries."""
        return self.table if all(text in self._tokenised for texts in references for text in texts) else None


def write(references: Iterable[Sequence[str]], context: Context, path: Path, table: Path, *, meteor: bool) -> None:
    """Write both files; without METEOR the table is an empty file."""
    texts = sorted({text for one in references for text in one})
    tokens = dict(zip(texts, context.ptb(texts), strict=True))
    path.write_bytes(msgspec.json.encode(tokens))
    if meteor:
        paraphrases.cut(tokens.values(), table)
    else:
        table.write_bytes(b"")


def read(path: Path | str, table: Path | str) -> ReferenceTexts:
    """Read what `write` wrote."""
    tokens = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, str])
    return ReferenceTexts(tokens, Path(table).resolve() if Path(table).stat().st_size else None)
