"""Encyclopedic-VQA in M2KR: detailed properties of species and landmarks, answered by one section of an article.

Facts about the published files (ReT-M2KR): ids `EVQA_0`; passage ids `WikiWeb_<title>_<section>` hold blanks and
further underscores, so nothing but a number at their end is ever cut off; answers are lists with repeats and trailing
blanks; the query file is called `evqa_test_m2kr` but the passage file `evqa_passages_test`. Names of training and
validation files are unknown.
"""

import re

from retcap.records import DatasetCard

CARD = DatasetCard(
    name="m2kr_evqa",
    title="E-VQA",
    task="retrieval",
    licence="MIT (questions and texts); picture rights stay with iNaturalist, Google Landmarks and Wikimedia",
    source="https://huggingface.co/datasets/aimagelab/ReT-M2KR",
    citation="Mensink et al. 2023, arXiv:2306.09224; Lin et al. 2024 (M2KR), arXiv:2402.08327",
    notes="About 1.25 million AToMiC pictures of the knowledge base are not on line: missing images.",
)
SECTION = re.compile(r"_[0-9]+$")
TEST_FILES = {"queries": "evqa_test_m2kr.jsonl", "passages": "evqa_passages_test.jsonl"}
IMAGE_PREFIXES = ("iNaturalist_2021", "google-landmark", "AToMiC-Images-v0.2")
ANSWER_KINDS = ("list",)
PUBLISHED_ROWS = {"train": 167_369, "valid": 9_852, "test": 3_750, "test passages": 51_472}
HOLD_OUT: str | None = None  # validation is a file of its own
KNOWN_LEAKS: dict[str, str] = {}


def entity(passage_id: str) -> str:
    """What a passage is about: its id without the number of the section.

    >>> entity("WikiWeb_Prunus laurocerasus_1")
    'WikiWeb_Prunus laurocerasus'
    """
    return SECTION.sub("", passage_id)
