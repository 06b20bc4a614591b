"""Streams M2KR and ReT-M2KR JSON lines as uniform records; a line that cannot be used goes to the quarantine.

One struct per file kind takes every published form (strings, ints, lists, nulls, both sets of field names); msgspec
checks the types while it decodes. Ids become text and are otherwise untouched: "00123" and "123" stay different ids.
Texts and image paths lose surrounding blanks. Memory is that of one line.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from retcap.records import Rejected
from retcap.retrieval.answers import Answers, RawAnswer, parse_answers
from retcap.retrieval.roots import LeavesRoot, Roots

# Bytes. The longest published passage has 73 kB; a longer line is a file that is not JSON lines.
LINE_LIMIT = 16 * 2**20
RECORD_LIMIT = 500  # characters of the offending text that the quarantine keeps

Id = str | int | None
Ids = str | int | None | list[str | int | None]
Texts = str | None | list[str | None]
Struct = TypeVar("Struct", bound=msgspec.Struct)
Quarantine = Callable[[Rejected], None]


class QueryLine(msgspec.Struct, gc=False):
    """One query line: names of ReT-M2KR first, then those of the original M2KR (FLMR)."""

    data_id: Id = None
    dataset_id: str | None = None
    instruction: str | None = None
    question: str | None = None
    image_path: str | None = None
    passage_id: Ids = None
    passage_text: Texts = None
    passage_image_path: Texts = None
    answer: RawAnswer = None
    question_id: Id = None
    img_path: str | None = None
    pos_item_ids: Ids = None
    pos_item_contents: Texts = None
    answers: RawAnswer = None


class PassageLine(msgspec.Struct, gc=False):
    """One corpus line, in both sets of names."""

    passage_id: Id = None
    passage_text: str | None = None
    passage_image_path: str | None = None
    passage_content: str | None = None


class Passage(msgspec.Struct, gc=False):
    """One passage; text or image may be None. `without_root` tells that its image lies below no configured root."""

    passage_id: str
    text: str | None
    image: str | None
    without_root: bool = False


class Query(msgspec.Struct, gc=False):
    """One query with its positives as the line carries them."""

    query_id: str
    source: str  # `dataset_id` of the line
    instruction: str
    question: str
    image: str | None
    answers: Answers
    positives: list[Passage]
    repeated_instruction: bool
    without_root: bool


class Unusable(Exception):
    """Why one line cannot be used: a stable code and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Source:
    """One JSON lines file that is being read: counts its lines and hashes its bytes on the way."""

    def __init__(self, path: Path, quarantine: Quarantine) -> None:
        self.path = path
        self.quarantine = quarantine
        self.lines = 0
        self.bytes = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Hash of the bytes read so far; of the whole file once the reader is exhausted."""
        return self._digest.hexdigest()

    def queries(self, roots: Roots) -> Iterator[Query]:
        """All usable queries of the file, in order."""
        return self._records(QueryLine, lambda line: to_query(line, roots))

    def passages(self, roots: Roots) -> Iterator[Passage]:
        """All usable passages of a corpus file, in order, repeated ids included."""
        return self._records(PassageLine, lambda line: to_passage(line, roots))

    def _records(self, kind: type[Struct], convert: Callable[[Struct], Any]) -> Iterator[Any]:
        decode = msgspec.json.Decoder(kind).decode
        for line in self._nonblank_lines():
            try:
                record = convert(decode(line))
            except (Unusable, LeavesRoot, msgspec.DecodeError, UnicodeDecodeError) as error:
                self._reject(error, line)
                continue
            yield record

    def _nonblank_lines(self) -> Iterator[bytes]:
        if not self.path.is_file():
            raise FileNotFoundError(
                f"No data file at {self.path}. Correct its name in the configuration or fetch it first."
            )
        with self.path.open("rb", buffering=2**20) as file:
            while line := file.readline(LINE_LIMIT):
                self.lines += 1
                self._count(line)
                if len(line) == LINE_LIMIT and not line.endswith(b"\n"):
                    self._reject(Unusable("line_too_long", f"longer than {LINE_LIMIT} bytes: not JSON lines?"), line)
                    self._skip_line(file)
                    continue
                if self.lines == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")  # byte order mark that some editors write
                if not line.isspace():
                    yield line

    def _skip_line(self, file: Any) -> None:
        while (part := file.readline(LINE_LIMIT)) and not part.endswith(b"\n"):
            self._count(part)
        self._count(part)

    def _count(self, part: bytes) -> None:
        self.bytes += len(part)
        self._digest.update(part)

    def _reject(self, error: Exception, line: bytes) -> None:
        record = line[: 4 * RECORD_LIMIT].decode(errors="replace").strip()[:RECORD_LIMIT]
        self.quarantine(Rejected(self.path.name, self.lines, reason_of(error), str(error), record))


def reason_of(error: Exception) -> str:
    """Stable code of a rejection."""
    if isinstance(error, Unusable):
        return error.reason
    if isinstance(error, LeavesRoot):
        return "path_leaves_root"
    return "wrong_type" if isinstance(error, msgspec.ValidationError) else "broken_json"


def to_query(line: QueryLine, roots: Roots) -> Query:
    """Uniform record of one query line. Raises Unusable or LeavesRoot."""
    query_id = _id(line.question_id if line.data_id is None else line.data_id, "data_id")
    question, repeated = without_instruction(line.question or "", line.instruction or "")
    image, without_root = _image(line.image_path or line.img_path, roots)
    if image is None and not question:
        raise Unusable("empty_query", "neither a question nor an image below a configured root")
    raw_answer = line.answers if line.answer is None else line.answer
    instruction = (line.instruction or "").strip()
    return Query(
        query_id,
        line.dataset_id or "",
        instruction,
        question,
        image,
        parse_answers(raw_answer),
        _positives(line, roots),
        repeated,
        without_root,
    )


def to_passage(line: PassageLine, roots: Roots) -> Passage:
    """Uniform record of one corpus line. Raises Unusable or LeavesRoot."""
    text = line.passage_content if line.passage_text is None else line.passage_text
    passage = _passage(_id(line.passage_id, "passage_id"), text, line.passage_image_path, roots)
    if passage.text is None and passage.image is None:
        raise Unusable("empty_passage", "neither a text nor an image below a configured root")
    return passage


def without_instruction(question: str, instruction: str) -> tuple[str, bool]:
    """Question without the instruction that one uploaded InfoSeek version repeats in front of it (FLMR issue 9).

    >>> without_instruction("Find it: what is this?", "Find it: ")
    ('what is this?', True)
    """
    question, core = question.strip(), instruction.strip().rstrip(": ")
    if core and question.startswith(core):
        return question[len(core) :].lstrip(": "), True
    return question, False


def _positives(line: QueryLine, roots: Roots) -> list[Passage]:
    """Positives of a line in file order, each id once; id, text and image lists must run in parallel."""
    ids = line.pos_item_ids if line.passage_id is None else line.passage_id
    texts = line.pos_item_contents if line.passage_text is None else line.passage_text
    images = line.passage_image_path
    if isinstance(ids, list) or isinstance(texts, list) or isinstance(images, list):
        triples = _parallel(_listed(ids), _listed(texts), _listed(images))
    else:
        triples = ((ids, texts, images),)
    positives: dict[str, Passage] = {}
    for passage_id, text, image in triples:
        name = "" if passage_id is None else str(passage_id)
        if name not in positives and not (name == "" or name.isspace()):
            positives[name] = _passage(name, text, image, roots)
    if not positives:
        raise Unusable("missing_positive", "no passage id: the query could neither train nor be scored")
    return list(positives.values())


def _parallel(ids: list[Any], texts: list[Any], images: list[Any]) -> Iterable[tuple[Any, Any, Any]]:
    """(id, text, image) per positive; a missing list counts as a list of nulls."""
    for name, values in (("texts", texts), ("images", images)):
        if values and len(values) != len(ids):
            raise Unusable("unequal_lists", f"{len(ids)} passage ids but {len(values)} passage {name}")
    nothing = [None] * len(ids)
    return zip(ids, texts or nothing, images or nothing, strict=True)


def _passage(passage_id: str, text: str | None, image: str | None, roots: Roots) -> Passage:
    path, without_root = _image(image, roots)
    return Passage(passage_id, (text or "").strip() or None, path, without_root)


def _image(image: str | None, roots: Roots) -> tuple[str | None, bool]:
    """Image path or None, and whether it was dropped because no root is configured for it."""
    image = (image or "").strip()
    if not image:
        return None, False
    return (image, False) if roots.has(image) else (None, True)


def _id(value: Id, field: str) -> str:
    text = "" if value is None else str(value)
    if not text.strip():
        raise Unusable("missing_id", f"`{field}` is missing or blank")
    return text


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
