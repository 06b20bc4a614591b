"""InfoSeek in M2KR: facts about a pictured entity, often numbers, answered by a whole Wikipedia article.

Facts about the published files (ReT-M2KR): ids `infoseek_train_00000000`, passage ids are Wikidata Q-ids; text and
image of a passage may be null in a query line; numeric answers are dicts `{"wikidata": 1.0, "range": [0.9, 1.1]}`;
one uploaded version repeats the instruction inside the question (FLMR issue 9). There is no validation split: it is
held out of the training questions by passage, so that validation asks about unseen entities.
"""

from retcap.records import DatasetCard

CARD = DatasetCard(
    name="m2kr_infoseek",
    title="InfoSeek",
    task="retrieval",
    licence="MIT (questions and texts); picture rights stay with ImageNet-21k sources and Wikimedia",
    source="https://huggingface.co/datasets/aimagelab/ReT-M2KR",
    citation="Chen et al. 2023, arXiv:2302.11713; Lin et al. 2024 (M2KR), arXiv:2402.08327",
    notes="Training and test search the same passage file.",
)
TEST_FILES = {"queries": "infoseek_test.jsonl", "passages": "infoseek_passages_test.jsonl"}
IMAGE_PREFIXES = ("imagenet21k", "oven_eval", "infoseek")
ANSWER_KINDS = ("list",)
PUBLISHED_ROWS = {"train": 676_441, "test": 4_708, "test passages": 98_276}
HOLD_OUT: str | None = "passage"
KNOWN_LEAKS: dict[str, str] = {}


def entity(passage_id: str) -> str:
    """What a passage is about: here the Wikidata id is the passage id."""
    return passage_id
