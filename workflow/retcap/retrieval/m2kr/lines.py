"""One line of an M2KR or ReT-M2KR file as a uniform record: the published forms, and how they become one.

One struct per file kind takes every published form (strings, ints, lists, nulls, both sets of field names); msgspec
checks the types while it decodes. Ids become text and are otherwise untouched: "00123" and "123" stay different ids.
Texts and image paths lose surrounding blanks; an empty text stays one and is not null, as published programs tell them
apart. The JSON text of answers and positives travels along as it is in the file: scoring as published programs do
depends on types that the uniform record no longer has.
"""

import string
from collections.abc import Iterable
from typing import Any

import msgspec

from retcap.retrieval.judging.answers import Answers, RawAnswer, parse_answers
from retcap.retrieval.m2kr.roots import Roots

Id = str | int | None
Ids = str | int | None | list[str | int | None]
Texts = str | None | list[str | None]
NULL = msgspec.Raw(b"null")
NESTED = 32  # brackets within brackets in one answer; published ones have two, and recursive readers end near 1,000
_answer = msgspec.json.Decoder(RawAnswer)
_ids = msgspec.json.Decoder(Ids)


class QueryLine(msgspec.Struct, gc=False):
    """One query line: names of ReT-M2KR first, then those of the original M2KR (FLMR)."""

    data_id: Id = None
    dataset_id: str | None = None
    instruction: str | None = None
    question: str | None = None
    image_path: str | None = None
    passage_id: msgspec.Raw = NULL
    passage_text: Texts = None
    passage_image_path: Texts = None
    answer: msgspec.Raw = NULL
    question_id: Id = None
    img_path: str | None = None
    pos_item_ids: msgspec.Raw = NULL
    pos_item_contents: Texts = None
    answers: msgspec.Raw = NULL


class PassageLine(msgspec.Struct, gc=False):
    """One corpus line, in both sets of names."""

    passage_id: Id = None
    passage_text: str | None = None
    passage_image_path: str | None = None
    passage_content: str | None = None


class Passage(msgspec.Struct, gc=False):
    """One passage; text may be empty or None, image None. `without_root`: its image lies below no configured root."""

    passage_id: str
    text: str | None
    image: str | None
    without_root: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a text nor a picture that could be found."""
        return not self.text and (self.image is None or self.without_root)


class Query(msgspec.Struct, gc=False):
    """One query with its positives as the line carries them."""

    query_id: str
    source: str  # `dataset_id` of the line
    instruction: str
    question: str
    image: str | None
    answers: Answers
    answer_json: str  # the value of `answer`, as it is in the file
    positives: list[Passage]
    positives_json: str  # the value of `passage_id`, as it is in the file
    repeated_instruction: bool
    without_root: bool


class Unusable(Exception):
    """Why one line cannot be used: a stable code and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def to_query(line: QueryLine, roots: Roots) -> Query:
    """Uniform record of one query line. Raises Unusable or LeavesRoot."""
    query_id = _id(line.question_id if line.data_id is None else line.data_id, "data_id")
    question, repeated = without_instruction(line.question or "", line.instruction or "")
    image, without_root = _image(line.image_path or line.img_path, roots)
    if (image is None or without_root) and not question:
        raise Unusable("empty_query", "neither a question nor an image below a configured root")
    answer, answer_json = _value(_answer, ("answer", line.answer), ("answers", line.answers))
    ids, ids_json = _value(_ids, ("passage_id", line.passage_id), ("pos_item_ids", line.pos_item_ids))
    instruction = (line.instruction or "").strip()
    return Query(
        query_id,
        line.dataset_id or "",
        instruction,
        question,
        image,
        _answers(answer),
        answer_json,
        _positives(line, ids, roots),
        ids_json,
        repeated,
        without_root,
    )


def to_passage(line: PassageLine, roots: Roots) -> Passage:
    """Uniform record of one corpus line. Raises Unusable or LeavesRoot.

    A passage without text and image stays: published programs search it, and chance depends on the size of the corpus.
    """
    text = line.passage_content if line.passage_text is None else line.passage_text
    return _passage(_id(line.passage_id, "passage_id"), text, line.passage_image_path, roots)


def without_instruction(question: str, instruction: str) -> tuple[str, bool]:
    """Question without the instruction that one uploaded InfoSeek version repeats in front of it (FLMR issue 9).

    It is one only where a word ends with it and something is left to ask.

    >>> without_instruction("Find it: what is this?", "Find it: ")
    ('what is this?', True)
    >>> without_instruction("Whatever is it?", "What")
    ('Whatever is it?', False)
    """
    question, core = question.strip(), instruction.strip().rstrip(": ")
    if not core or not question.startswith(core):
        return question, False
    behind = question[len(core) :]
    rest = behind.lstrip(f":{string.whitespace}")
    ends = behind[:1] == ":" or behind[:1].isspace() or not core[-1].isalnum()
    return (rest, True) if rest and ends else (question, False)


def _value(
    decoder: msgspec.json.Decoder, first: tuple[str, msgspec.Raw], second: tuple[str, msgspec.Raw]
) -> tuple[Any, str]:
    """Value and JSON text of the first field, or of the second where the first is null."""
    field, text = first[0], bytes(first[1])
    if text == b"null":
        field, text = second[0], bytes(second[1])
    try:
        value = decoder.decode(text)
    except msgspec.ValidationError as error:  # its path starts at the value: put the field in front
        reason, _, path = str(error).partition(" - at `$")
        raise msgspec.ValidationError(f"{reason} - at `$.{field}{path or '`'}") from None
    if text.count(b"[") + text.count(b"{") > NESTED:
        _check_depth(value, field)
    return value, text.decode()


def _check_depth(value: Any, field: str) -> None:
    """What is decoded here is decoded again by the scoring, with the standard library: it must not stop hours later."""
    level, depth = [value], -1
    while level:
        depth += 1
        level = [one for outer in level if isinstance(outer, dict | list) for one in _within(outer)]
    if depth > NESTED:
        raise Unusable("nested_too_deeply", f"`{field}` is nested {depth} deep, {NESTED} are allowed")


def _within(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _answers(answer: RawAnswer) -> Answers:
    try:
        return parse_answers(answer)
    except OverflowError:  # an integer of more than 308 digits
        raise Unusable("number_out_of_range", "an answer holds a number beyond double precision (1.8e308)") from None


def _positives(line: QueryLine, ids: Ids, roots: Roots) -> list[Passage]:
    """Positives of a line in file order, each id once; id, text and image lists must run in parallel."""
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
    return Passage(passage_id, None if text is None else text.strip(), path, without_root)


def _image(image: str | None, roots: Roots) -> tuple[str | None, bool]:
    """Image path or None, and whether no root is configured for it: the screening counts it among the missing."""
    image = (image or "").strip()
    return (image, not roots.has(image)) if image else (None, False)


def _id(value: Id, field: str) -> str:
    text = "" if value is None else str(value)
    if not text.strip():
        raise Unusable("missing_id", f"`{field}` is missing or blank")
    return text


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
