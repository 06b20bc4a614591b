"""Real files that some tests read where they are at hand: the folder that the variable RETCAP_TEST_DATA names."""

import os
from pathlib import Path

VARIABLE = "RETCAP_TEST_DATA"
NOWHERE = Path("/nowhere")


def folder(name: str) -> Path:
    """One of its folders, such as `quic360`; a path that does not exist where the variable is not set."""
    return Path(os.environ.get(VARIABLE) or NOWHERE) / name
