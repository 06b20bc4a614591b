"""What a job tells the person who waits for it: how far it is, notes, warnings, why it failed.

Snakemake's logger plugin of this project names a folder in RETCAP_MESSAGES. Each job then appends JSON lines to a file
of its own there, and the plugin shows them in order: jobs that run at once never write over each other, on the same
machine or on a cluster. Without the plugin, or where the file cannot be written, plain lines go to stderr.
"""

import hashlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

SHAPES_RESULTS = False  # see retcap.reruns.digest
FOLDER, FILE = "RETCAP_MESSAGES", "RETCAP_MESSAGES_FILE"  # environment: children of a job speak for it


def begin(log_file: Path) -> None:
    """Choose this job's file. Where the plugin listens, what libraries print goes to the log from here on."""
    os.environ.pop(FILE, None)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # an ASCII terminal must not fail a job  # pyright: ignore
    folder = os.environ.get(FOLDER)
    if not folder or not Path(folder).is_dir():
        return
    os.environ[FILE] = str(Path(folder) / file_name(str(log_file)))
    tell("start", "")
    with log_file.open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())


def file_name(log: str) -> str:
    """Name of the message file of the job with this log file; the plugin computes the same one."""
    return hashlib.sha256(log.encode()).hexdigest()[:16] + ".jsonl"


def heard() -> bool:
    """Whether somebody reads messages: then a bar or a line on the terminal would only disturb."""
    return FILE in os.environ


def tell(kind: str, text: str, **more: Any) -> None:
    """Say something.

    `kind`: start, progress, note, warning, failure (of what the job was for), skipped (it needs what failed), error (of
    the job itself).
    """
    try:
        file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            # one call, so that the ranks of one job never tear each other's lines
            os.write(file, (json.dumps({"kind": kind, "text": text, **more}) + "\n").encode())
        finally:
            os.close(file)
    except (KeyError, OSError):  # nobody listens, or no longer
        if text:
            print(text, file=sys.stderr, flush=True)


class Warnings(logging.Handler):
    """Passes log entries of level WARNING and above on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        if heard():
            tell("warning", record.getMessage())
        else:
            tell("warning", f"{record.levelname} {record.name}: {record.getMessage()}")
