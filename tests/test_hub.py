"""The hub out of reach: quick errors that name key, file and remedy; few attempts; a filled cache is enough."""

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from retcap import plugins
from retcap.captioning import model
from retcap.jobs import hub
from tiny_backbones import save_hf_clip, save_open_clip

ROOT = Path(__file__).parents[1]


class Answered(Exception):
    """An answer of the hub with an HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status} for url\nmore lines.")
        self.response = SimpleNamespace(status_code=status)


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr("urllib.request.getproxies", dict)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A hub whose name is known; returns the waits between attempts."""
    waits: list[float] = []
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


def refusing(*answers: int):
    """A fetch that fails with each status, then gives a path; and the statuses still to come."""
    left = list(answers)

    def fetch() -> str:
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s")
        if left:
            raise Answered(left.pop(0))
        return "path"

    return fetch, left


def test_without_names_nothing_is_tried(no_names):
    def fetch() -> str:
        raise AssertionError("tried")

    with pytest.raises(ConnectionError, match=r"^a.jsonl cannot be downloaded: there is no network.*Put it there.$"):
        hub.download(fetch, "a.jsonl", "Put it there.")


def test_a_proxy_may_know_the_name(no_names, monkeypatch):
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy:3128"})
    assert hub.unreachable() is None


@pytest.mark.parametrize(("answers", "tried"), [((404,), 1), ((403,), 1), ((503, 429, 500), 3)])
def test_only_answers_that_may_change_are_asked_for_again(reached, answers, tried):
    fetch, left = refusing(*answers)
    with pytest.raises(ConnectionError, match=rf"^a.jsonl cannot be downloaded: Answered: {answers[-1]} for url. Do"):
        hub.download(fetch, "a.jsonl", "Do.")
    assert left == []
    assert len(reached) == tried - 1


def test_a_later_attempt_may_succeed_and_the_hub_logs_no_warnings(reached, caplog):
    fetch, _ = refusing(503)
    with caplog.at_level("INFO"):
        assert hub.download(fetch, "a.jsonl", "Do.") == "path"
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert reached == [hub.WAIT_S]


@pytest.mark.parametrize("plugin", ["clip_hf", "clip_open_clip"])
def test_weights_out_of_reach_name_key_revision_and_remedies(no_names, monkeypatch, plugin):
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    text = r"owner/nothing, revision 0123abc, .*backbones.<name>.checkpoint to a folder.*HF_HOME to a cache"
    with pytest.raises(ConnectionError, match=text):
        plugins.load("backbones", plugin).load("owner/nothing", revision="0123abc")
    assert slept == []  # the hub's library did not retry


def test_a_captioner_out_of_reach_fails_at_once_and_names_its_key(no_names, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    started = time.monotonic()
    text = r"owner/nothing, revision main, is no folder here .*captioning.options.llava-1.5-7b.checkpoint to a folder"
    with pytest.raises(ConnectionError, match=text):
        model.load(plugins.load("captioners", "llava-1.5-7b"), "owner/nothing")
    assert slept == []
    assert time.monotonic() - started < 60  # imports; the hub's library alone waited for minutes


@pytest.mark.parametrize("source", ["models/gone/deep", "/nowhere/gone", "gone"])
def test_a_missing_folder_is_not_looked_for_on_the_hub(no_names, source):
    key = r"\(seen from .*\). It is captioning.options.llava-1.5-7b.checkpoint"
    with pytest.raises(FileNotFoundError, match=f"^There is no checkpoint folder at {source} {key}"):
        model.load(plugins.load("captioners", "llava-1.5-7b"), source)
    with pytest.raises(FileNotFoundError, match=r"It is backbones.<name>.checkpoint"):
        plugins.load("backbones", "clip_hf").load(source)


def test_a_name_without_a_way_there_is_out_of_reach_too(monkeypatch):
    def silent(address: tuple[str, int], timeout: float) -> socket.socket:
        assert timeout <= 10
        raise TimeoutError("timed out")

    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    monkeypatch.setattr(socket, "create_connection", silent)
    assert "does not answer: timed out" in str(hub.unreachable())


def test_a_filled_cache_is_enough_without_a_network(tmp_path):
    """In the layout of the hub's cache below HF_HOME; `preprocessor_config.json` is not there, as in ReT-1."""
    revision, expected = "0" * 40, []
    for plugin, save in (("clip_hf", save_hf_clip), ("clip_open_clip", partial(save_open_clip, vision="vit"))):
        made = tmp_path / "made" / plugin
        save(made)
        assert not (made / "preprocessor_config.json").exists()
        shutil.copytree(made, tmp_path / f"home/hub/models--owner--{plugin}/snapshots" / revision)
        expected.append(str(plugins.load("backbones", plugin).load(made).text.layers))
    program = (
        "import socket\n"
        "def unknown(*_): raise socket.gaierror(-2, 'Name or service not known')\n"
        "socket.getaddrinfo = unknown\n"
        "from retcap import plugins\n"
        "for plugin in ('clip_hf', 'clip_open_clip'):\n"
        f"    backbone = plugins.load('backbones', plugin).load(f'owner/{{plugin}}', revision={revision!r})\n"
        "    print(backbone.text.layers)"
    )
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {"HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT / "workflow")}
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected
    assert "Retrying" not in done.stderr
