"""Names of the audit's checks; `audit` says what they do. Light: the configuration imports it."""

from typing import Literal, get_args

PairCheck = Literal[
    "query_ids",
    "queries",
    "questions",
    "images",
    "golds",
    "passages",
    "texts",
    "query_file",
    "passage_file",
    "near_images",
]
SplitCheck = Literal["duplicate_ids", "dangling_golds", "null_texts", "blank_queries"]
AuditCheck = Literal[PairCheck, SplitCheck]
PAIR_CHECKS: tuple[str, ...] = get_args(PairCheck)
SPLIT_CHECKS: tuple[str, ...] = get_args(SplitCheck)
FAIL_ON = ("queries", "questions", "query_file")  # the overlaps that make a result worthless
