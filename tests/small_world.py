"""The generated retrieval world in a size for tests."""

SMALL = {
    "train_queries": {"m2kr_oven": 41, "m2kr_evqa": 43, "m2kr_infoseek": 47, "m2kr_okvqa": 37},
    "valid_queries": 11,
    "test_queries": 23,
    "entities": 30,
    "okvqa_passages": 60,
    "pairs": 19,
}
