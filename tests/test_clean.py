"""Caption cleaning: one test per known gap of the original rules, and properties that hold for every text."""

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retcap.captions import whitespace
from retcap.captions.clean import clean, clean_captions, clean_reference


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("<|im_start|>ASSISTANT: a bus", "a bus"),
        (" ASSISTANT: a bus", "a bus"),
        ("USER: x ASSISTANT: a bus", "a bus"),
        ("ASSISTANT: Answer: a bus", "a bus"),
        ("a <| b |> c", "a <| b |> c"),
        ("a <|x|> b <| y\nz |> c", "a <|x|> b <| y z |> c"),
        ("[INST] hi [/INST] a bus</s>", "a bus"),
        ("<start_of_turn>model\na bus<end_of_turn>", "a bus"),
        ("<IMG_CONTEXT> a", "a"),
        ("Answer:", ""),
    ],
)
def test_gaps_of_the_original_rules(raw, wanted):
    assert clean(raw) == wanted


@pytest.mark.parametrize(
    "token",
    re.findall(
        r"\S+",
        "<s> </s> <pad> <unk> <bos> <eos> <start_of_image> <end_of_image> <image_soft_token> <image> </image> <img> "
        "</img> <vision_start> <vision_end> <image_pad> <|im_end|> <|endoftext|> <|vision_start|> <|image_pad|> "
        "<|eot_id|> <extra_id_0> <end_of_turn> [CLS] [SEP] <IMAGE>",
    ),
)
def test_special_tokens_go_and_words_around_them_stay(token):
    assert clean(f"{token}a red{token}bus {token}") == "a red bus"


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("\nleft\nASSISTANT: there is a red square on the", "there is a red square on the"),  # leaked prompt
        ("<s>USER: <image>\nleft ASSISTANT: a bus</s>", "a bus"),
        ("Question: left Answer: a bus", "a bus"),
        ("question: left answer: a bus", "a bus"),
        ("a bus USER: why? ASSISTANT: because", "a bus"),  # a next turn that the model made up
        ("ASSISTANT: a bus ASSISTANT: a car", "a bus"),
        ("ASSISTANT: ASSISTANT: a bus", "a bus"),
        ("<start_of_turn>user\nleft<end_of_turn>\n<start_of_turn>model\na bus<end_of_turn>\n", "a bus"),
        (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nleft<|im_end|>\n"
            "<|im_start|>assistant\na bus<|im_end|>",
            "a bus",
        ),
        ("<s>[INST] left [/INST] a bus</s> [INST] right [/INST] a car", "a bus"),
        ("USER: a bus", "a bus"),
        ("<start_of_turn>model", ""),
        ("left ASSISTANT:", ""),
    ],
)
def test_the_caption_is_the_first_assistant_turn(raw, wanted):
    assert clean(raw) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "a sign reads Answer: 42",
        "shop Assistant: the sign says",
        "answers: none",
        "the users: many",
        "model trains run through the hall",
        "A Red, car's (big) 360° pano... isn't it?",
        "x < y and y > z",
        "<b>bold</b>",
        "café ☕ 東京",
        "user interface of a phone",
    ],
)
def test_words_case_and_punctuation_stay(text):
    assert clean(text) == text


@pytest.mark.parametrize("line_break", [*"\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029\t\xa0\0\u200b", "\r\n"])
def test_every_line_break_becomes_one_blank(line_break):
    assert clean(f"{line_break}a{line_break}{line_break}bus{line_break}") == "a bus"
    assert clean_reference(f"{line_break}a{line_break}bus") == "a bus"


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, "", "  \n"])
def test_missing_text_is_empty_and_never_the_word(missing):
    assert clean(missing) == clean_reference(missing) == ""


@pytest.mark.parametrize("text", ["shop Assistant: <s> ASSISTANT: x", "Answer: 42", "None", "[INST] x"])
def test_references_only_lose_whitespace(text):
    assert clean_reference(f" {text.replace(' ', '  ')} ") == text


PIECES = ["USER:", "ASSISTANT:", "Answer:", "Question:", "<s>", "</s>", "<|im_start|>", "<start_of_turn>", "assistant"]
PIECES += ["model", "user", "\n", " ", "a bus", "[INST]", "[/INST]", "<", "|>", "<|", ":", "\u2028", "<image>", "s>"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=40))
def test_clean_is_idempotent_and_one_line(text):
    once = clean(text)
    assert clean(once) == once
    assert len(once.splitlines()) <= 1
    assert once == once.strip()
    assert "  " not in once


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=30))
def test_a_text_without_markup_keeps_every_character(text):
    wrapped = f"the {text} end"
    if not any(mark in wrapped for mark in ("<", "[", "USER", "ASSISTANT")):
        assert clean(wrapped) == " ".join(wrapped.split())


def test_hostile_lengths_finish_quickly():
    for piece in ("Answer:", "ASSISTANT:", "<s>", "USER: x ", "<|im_start|> ", "\n", "<start_of_turn>   "):
        clean(piece * 5_000)


def captions(*rows):
    return pd.DataFrame([{"item_id": str(i), "raw": raw, "status": status} for i, (raw, status) in enumerate(rows)])


def test_clean_captions_sets_statuses_and_keeps_the_raw_text():
    frame = captions(
        ("ASSISTANT: a bus", "ok"), ("Answer:", "ok"), (" \n", "ok"), ("", "empty"), (None, "failed"), ("", "excluded")
    )
    cleaned = clean_captions(frame)
    assert list(cleaned["cleaned"]) == ["a bus", "", "", "", "", ""]
    assert list(cleaned["status"]) == ["ok", "cleaned_to_empty", "empty", "empty", "failed", "excluded"]
    assert list(cleaned["raw"][:4]) == ["ASSISTANT: a bus", "Answer:", " \n", ""]
    assert "cleaned" not in frame
    assert list(frame["status"]) == ["ok", "ok", "ok", "empty", "failed", "excluded"]
    pd.testing.assert_frame_equal(clean_captions(cleaned), cleaned)
    assert len(clean_captions(frame.iloc[:0])) == 0


@given(st.text(max_size=8))
def test_what_can_be_seen_is_never_cleaned_away_from_a_reference(text):
    assert whitespace.is_blank(text) or clean_reference(text)
