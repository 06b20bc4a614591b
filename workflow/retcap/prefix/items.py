"""The test pictures as the scoring of captions knows them."""

import hashlib

TEST, TRAIN, VALID = "test", "train", "valid"
QUERY = ""  # nobody asks for anything in particular


def item_id(name: str) -> str:
    """Id of a picture: that of a pair whose query is empty, as `retcap.captions.prepare.item_id` makes it.

    >>> item_id("val2014/a.jpg")
    'b8a7a86b164ee649'
    """
    return hashlib.sha1(f"{name}\0{QUERY}".encode()).hexdigest()[:16]
