"""OKVQA in M2KR: common-knowledge questions; any passage with an answer string counts as positive.

Facts about the published files (ReT-M2KR): ids are ints (COCO image id and one more digit), passage ids are digit
strings whose leading zeros matter, positives are lists of ids, texts and images. Positives were chosen by answer
string, not by content, so labels are noisy and pseudo recall is the headline. **The validation file is the test file**:
validation is held out of the training questions instead, and the audit names the leak.
"""

from retcap.records import DatasetCard

CARD = DatasetCard(
    name="m2kr_okvqa",
    title="OKVQA",
    task="retrieval",
    licence="MIT (questions and texts); picture rights stay with COCO and Wikimedia",
    source="https://huggingface.co/datasets/aimagelab/ReT-M2KR",
    citation="Marino et al. 2019, arXiv:1906.00067; Lin et al. 2024 (M2KR), arXiv:2402.08327",
    notes="Validation and test are one file (sha256 9e991bdf...); never choose a model on it.",
)
TEST_FILES = {"queries": "okvqa_test.jsonl", "passages": "okvqa_passages_test.jsonl"}
IMAGE_PREFIXES = ("coco", "infoseek")
ANSWER_KINDS = ("list",)
PUBLISHED_ROWS = {"train": 8_253, "valid": 5_046, "test": 5_046, "test passages": 114_516}
HOLD_OUT: str | None = "image"  # all questions about a picture stay together
UNUSED = "The published validation file is the test file; it is not used, validation rows come out of training."
KNOWN_LEAKS: dict[str, str] = {  # of the published file beside a hold-out; used as validation it fails the audit
    "published_valid+test:query_file": "OKVQA publishes its test questions as validation: one file, two names.",
    "published_valid+test:query_ids": UNUSED,
    "published_valid+test:queries": UNUSED,
    "published_valid+test:questions": UNUSED,
    "published_valid+test:images": UNUSED,
    "published_valid+test:near_images": UNUSED,
}
