"""Cleans what a captioner said: chat markup, special tokens and blanks go, words, case and punctuation stay.

The rules are those of the study we start from (panollava, scripts/eval.py, `basic_cleanup`), with its gaps closed:

1. A closed list of special tokens is removed; never a free span between pipes, which may be the caption's own text.
2. The caption is the first assistant turn. Turn marks are [INST] and [/INST], a turn token with its role
   (`<start_of_turn>model`, `<|im_start|>assistant`), and the words USER: and ASSISTANT: in capitals.
   A prompt that leaked in front of it goes, and so does a next turn that the model made up.
3. At the start, the role words USER, ASSISTANT, Question and Answer with a colon go in any case, as often as they come;
   after Question: that is everything up to Answer:.
4. Runs of whitespace and control characters become one blank, ends are trimmed. Java tools count lines: a stray U+2028
   inside one caption would shift all captions after it.

The rules are repeated until nothing changes, so `clean(clean(x)) == clean(x)`. References only get rule 4.
"""

import re

import pandas as pd

from retcap.captions.whitespace import collapse

CLEANER_VERSION = "1"  # part of the metric signature: raise it with every change of a result

_PLAIN_TOKENS = (
    "s|/s|pad|unk|bos|eos|cls|sep|mask|image|/image|img|/img|IMG_CONTEXT|video|start_of_image|end_of_image"
    r"|image_soft_token|vision_start|vision_end|image_pad|start_of_turn|end_of_turn|end_of_utterance|extra_id_\d+"
)
_PIPED_TOKENS = (
    "im_start|im_end|endoftext|end_of_text|begin_of_text|start_header_id|end_header_id|eot_id|end|user|assistant|system"
    "|vision_start|vision_end|vision_pad|image_pad|video_pad|image|video"
)
_TOKEN = re.compile(rf"<(?:{_PLAIN_TOKENS})>|<\|(?:{_PIPED_TOKENS})\|>|\[(?:CLS|SEP|PAD|UNK)\]", re.IGNORECASE)
_TURN = r"(?:<\|im_start\|>|<start_of_turn>|<\|start_header_id\|>)\s*"
_TURN_END = (
    r"(?:<\|end_header_id\|>|\s*:|[ \t]*[\r\n]|\s*\Z)"  # a role is followed by one of these, a caption's word is not
)
_USER = re.compile(rf"\[INST\]|<<SYS>>|{_TURN}(?:user|system){_TURN_END}|<\|(?:user|system)\|>|\bUSER\s?:")
_ASSISTANT = re.compile(rf"\[/INST\]|{_TURN}(?:assistant|model){_TURN_END}|<\|assistant\|>|\bASSISTANT\s?:")
_LEADING_ROLE = re.compile(r"(user|assistant|question|answer)\s?:", re.IGNORECASE)
_ANSWER = re.compile(r"\b(?:answer|assistant)\s?:", re.IGNORECASE)


def clean(text: object) -> str:
    """The caption in `text` by the rules above; None and NaN give the empty string.

    >>> clean("<|im_start|>ASSISTANT: Answer: a  bus</s>"), clean("left ASSISTANT: a bus USER: why?")
    ('a bus', 'a bus')
    >>> clean("a <| b |> c")
    'a <| b |> c'
    """
    now = "" if _is_missing(text) else str(text)
    before = None
    while now != before:
        before = now
        now = collapse(_TOKEN.sub(" ", _after_lead(_first_answer(now))))
    return now


def clean_reference(text: object) -> str:
    """A human reference with whitespace collapsed and nothing else touched: people do write "shop Assistant: ..."."""
    return "" if _is_missing(text) else collapse(str(text))


def _is_missing(text: object) -> bool:
    return text is None or text is pd.NA or (isinstance(text, float) and text != text)


def _first_answer(text: str) -> str:
    """The first assistant turn with words in it; what precedes a user turn where no assistant was marked before it."""
    marks = sorted(
        [(mark.start(), mark.end(), False) for mark in _USER.finditer(text)]
        + [(mark.start(), mark.end(), True) for mark in _ASSISTANT.finditer(text)]
    )
    if not marks:
        return text
    lead = text[: marks[0][0]]
    if not marks[0][2] and not _is_blank(lead):
        return lead
    ends = [start for start, _, _ in marks[1:]] + [len(text)]
    turns = [(text[end:stop], assistant) for (_, end, assistant), stop in zip(marks, ends, strict=True)]
    if any(assistant for _, assistant in turns):
        turns = [turn for turn in turns if turn[1]]
    return next((turn for turn, _ in turns if not _is_blank(turn)), "")


def _is_blank(text: str) -> bool:
    return not collapse(_TOKEN.sub(" ", text))


def _after_lead(text: str) -> str:
    """The text without role words at its start; a leading question goes as a whole, up to its answer."""
    text = text.lstrip()
    while match := _LEADING_ROLE.match(text):
        text = text[match.end() :].lstrip()
        if match[1].lower() in ("user", "question") and (answer := _ANSWER.search(text)):
            text = text[answer.end() :].lstrip()
    return text


def clean_captions(captions: pd.DataFrame) -> pd.DataFrame:
    """A copy with the column `cleaned`; a caption that cleaning empties gets the status `cleaned_to_empty`.

    Raw text stays as it is. Failed and excluded rows keep their status and have an empty cleaned text.
    """
    cleaned = captions.copy()
    said = cleaned["status"].isin(["ok", "empty", "cleaned_to_empty"])
    cleaned["cleaned"] = pd.Series(
        [clean(raw) if spoke else "" for raw, spoke in zip(cleaned["raw"], said, strict=True)],
        cleaned.index,
        dtype=object,
    )
    blank = cleaned["raw"].map(clean_reference) == ""
    cleaned.loc[said & (cleaned["cleaned"] == ""), "status"] = "cleaned_to_empty"
    cleaned.loc[said & blank, "status"] = "empty"
    return cleaned
