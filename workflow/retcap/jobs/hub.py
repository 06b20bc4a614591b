"""The Hugging Face hub from a machine that may not reach it: a quick check, short errors with a remedy, few retries."""

import logging
import os
import re
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name
log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.reruns.digest
ATTEMPTS = 3
WAIT_S = 10.0  # between attempts
ANSWER_S = 5.0  # to wait for the first answer; cluster nodes often know names and have no way out
BACKBONE = "backbones.<name>.checkpoint"  # key of the configuration


def unreachable() -> str | None:
    """Why no request can succeed: the hub's name has no address here, or nobody answers there.

    None where somebody does, or where a proxy may know the way.
    """
    from huggingface_hub import constants

    address = urllib.parse.urlsplit(constants.ENDPOINT)
    host, port = address.hostname or "huggingface.co", address.port or (80 if address.scheme == "http" else 443)
    if {"http", "https", "all"} & set(urllib.request.getproxies()) or os.environ.get("ALL_PROXY"):
        return None
    try:
        socket.getaddrinfo(host, port)
    except OSError as error:
        return f"there is no network here, or no name service: {host}: {error}"
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
    except OSError as error:
        return f"{host} does not answer: {error}"
    return None


def offline(source: str | Path) -> bool:
    """Whether files of a hub id can come from the cache only; the hub's library would retry for minutes first."""
    return not Path(source).is_dir() and unreachable() is not None


def missing_folder(source: str | Path, key: str) -> FileNotFoundError:
    """The error of a path to a checkpoint that is not there; `key`: of the configuration."""
    return FileNotFoundError(f"There is no checkpoint folder at {source} (seen from {Path.cwd()}). It is {key}.")


@contextmanager
def checkpoint(source: str | Path, revision: str | None, key: str = BACKBONE) -> Iterator[None]:
    """Name the configuration key and the remedies in errors of weights that should come from the hub."""
    if not Path(source).is_dir() and not HUB_ID.fullmatch(str(source)):
        raise missing_folder(source, key)
    with _quiet():
        try:
            yield
        except OSError as error:
            if Path(source).is_dir():
                raise
            raise ConnectionError(
                f"The checkpoint {source}, revision {revision or 'main'}, is no folder here and cannot be had from the "
                f"hub: {unreachable() or _line(error)}. Set {key} to a folder with its files, or HF_HOME to a cache "
                "that has this revision (`hf download` fills one where there is a network)."
            ) from error


def download(fetch: Callable[[], str], what: str, remedy: str) -> str:
    """The path that `fetch` gives. Only answers that may change (429, 5xx) are worth another attempt."""
    reason = unreachable()
    if reason is not None:
        raise ConnectionError(f"{what} cannot be downloaded: {reason}. {remedy}")
    with _quiet():
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return fetch()
            except Exception as error:
                if attempt == ATTEMPTS or not transient(error):
                    raise ConnectionError(f"{what} cannot be downloaded: {_line(error)}. {remedy}") from error
                log.info("attempt %d of %d failed: %s", attempt, ATTEMPTS, _line(error))
                time.sleep(WAIT_S)
    raise AssertionError("the last attempt returns or raises")


def transient(error: BaseException | None) -> bool:
    """Whether an HTTP status among an error and its causes says that the server may answer later."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return status == 429 or status >= 500
        error = error.__cause__ or error.__context__
    return False


def _line(error: BaseException) -> str:
    """The first line of an error, without its full stop."""
    line = str(error).strip().partition("\n")[0].rstrip(". \r")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of the hub's library about its own retries."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
