"""OVEN in M2KR: which Wikipedia entity does the question about the picture mean? One string as answer.

Facts about the published files (ReT-M2KR): ids `oven_entity_val_00000000`, passage ids are Wikidata Q-ids. Names of the
training and validation files are not published, so the configuration names every file. Validation and test share one
passage file. Splits and instructions were corrected on 3 to 5 June 2024: older copies give other numbers.
"""

from retcap.records import DatasetCard

CARD = DatasetCard(
    name="m2kr_oven",
    title="OVEN",
    task="retrieval",
    licence="MIT (questions and texts); picture rights stay with Google Landmarks, Wikimedia and others",
    source="https://huggingface.co/datasets/aimagelab/ReT-M2KR",
    citation="Hu et al. 2023, arXiv:2302.11154; Lin et al. 2024 (M2KR), arXiv:2402.08327",
    notes="Open-domain Visual Entity recognitioN. Small corpus: chance R@5 is 0.16 %, far above the other sets.",
)
TEST_FILES = {"queries": "oven_test.jsonl", "passages": "oven_passages_test.jsonl"}
IMAGE_PREFIXES = ("oven_eval", "infoseek")
ANSWER_KINDS = ("string",)
PUBLISHED_ROWS = {"train": 339_137, "valid": 20_000, "test": 5_120, "test passages": 3_192}
HOLD_OUT: str | None = None  # validation is a file of its own
KNOWN_LEAKS: dict[str, str] = {}


def entity(passage_id: str) -> str:
    """What a passage is about: here the Wikidata id is the passage id."""
    return passage_id
