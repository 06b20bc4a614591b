"""The Hugging Face hub from a machine that may not reach it: a quick check, short errors with a remedy, few retries."""

import json
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
from typing import NamedTuple

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name
log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.reruns.digest
ATTEMPTS = 3
WAIT_S = 10.0  # between attempts
ANSWER_S = 5.0  # to wait for the first answer; cluster nodes often know names and have no way out
BACKBONE = "backbones.<name>.checkpoint"  # key of the configuration
GATED = (
    "Accept the terms on the page of {source} on the hub, then log in (`hf auth login`) or set HF_TOKEN to a token of "
    "that account."
)


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


class Refusal(NamedTuple):
    """Why the hub does not give a file, and what to do about it."""

    reason: str
    remedy: str


def refusal(source: str, revision: str) -> Refusal | None:
    """Asks the hub for the head of one file of a repository; None where it would be given."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        with _quiet():
            get_hf_file_metadata(hf_hub_url(source, "config.json", revision=revision), timeout=ANSWER_S)
    except errors.GatedRepoError:
        whose = "this token's account has not accepted its terms" if token() else "no token is here"
        return Refusal(f"it is gated, and {whose}", GATED.format(source=source))
    except errors.RevisionNotFoundError:
        return Refusal(f"the repository has no revision {revision}", "Correct `revision`, a commit of the repository.")
    except errors.RepositoryNotFoundError:
        return Refusal(
            "there is no such repository, or it is private",
            "Correct the hub id, or log in with an account that sees it.",
        )
    except Exception as error:
        return Refusal(_line(error), "Try again later, or fill a cache by `hf download` and set HF_HOME to it.")
    return None


def token() -> str | None:
    """The token that requests to the hub carry: of HF_TOKEN, or of a login."""
    from huggingface_hub import get_token

    return get_token()


def cache() -> Path:
    """Folder in which the hub's library keeps repositories."""
    home = Path(os.environ.get("HF_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")))
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()


def cached(source: str) -> Path | None:
    """The folder of a repository in the cache, whatever there is of it."""
    folder = cache() / f"models--{source.replace('/', '--')}"
    return folder if folder.is_dir() else None


def snapshot(source: str, revision: str) -> Path | None:
    """The files of one revision in the cache, if its configuration and all its weights are there."""
    if (folder := cached(source)) is None:
        return None
    branch = folder / "refs" / revision
    files = folder / "snapshots" / (branch.read_text(encoding="utf-8").strip() if branch.is_file() else revision)
    index = files / "model.safetensors.index.json"
    weights = {"model.safetensors"}
    if index.is_file():
        weights = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return files if all((files / name).is_file() for name in {"config.json", *weights}) else None


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
