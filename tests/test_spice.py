"""SPICE: the jar as it is where its parser is there, and what is around it everywhere, with a parser of our own."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

import real_data
from retcap import plugins
from retcap.captions import corenlp, java, scene_graph_child, scoring
from retcap.captions.context import Context
from retcap.captions.corenlp import CoreNLP
from retcap.captions.scene_graphs import SceneGraphs, class_path

PARSER = r"""
import json, os, sys, time
known = {}
for line in sys.stdin:
    question = json.loads(line)
    if "parse" in question:
        texts = question["parse"]
        with open(os.environ["PARSED"], "a") as file:
            file.writelines(f"{text}\n" for text in texts)
        if "hang" in texts:
            time.sleep(60)
        broken = any("broken" in text for text in texts)
        answer = {"tuples": [[[word] for word in text.split()] for text in texts]}
        answer = {"error": "MemoryError: too long"} if broken else answer
    else:
        known |= question["tuples"]
        scores = []
        for text, others in question["score"]:
            one, two = ({word for t in texts for [word] in known[t]} for texts in ([text], others))
            scores.append(2 * len(one & two) / (len(one) + len(two)) if one | two else 0.0)
        answer = {"f": scores}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CoreNLP:
    """A parser for which every word is an object; it writes down what it was given."""
    script = tmp_path / "parser.py"
    script.write_text(PARSER)
    monkeypatch.setattr(scene_graph_child, "__file__", str(script))
    monkeypatch.setenv("PARSED", str(tmp_path / "parsed.txt"))
    return CoreNLP(reason=None, parses=str(tmp_path / "parses"))


def parsed() -> list[str]:
    return Path(os.environ["PARSED"]).read_text().split("\n")[:-1]


def test_spice_has_items_whose_mean_it_is_and_an_interval(parser: CoreNLP):
    rows = [("x", ["a red bus", "a bus"], "a red bus"), ("y", ["two cats"], ""), ("y", ["a cat"], "a dog")]
    ids, images = ["1", "2", "3"], [row[0] for row in rows]
    items = pd.DataFrame({"item_id": ids, "image": images, "image_key": images, "references": [row[1] for row in rows]})
    said = [row[2] for row in rows]
    captions = pd.DataFrame({"item_id": ids, "raw": said, "cleaned": said, "status": "ok"})
    with Context(corenlp=parser, timeout_s=60) as context:
        scores = scoring.score_captions(items, captions, ["spice"], context)
    assert scores.results["spice"].items is not None
    assert scores.results["spice"].items.tolist() == [1.0, 0.0, 0.5]
    found = scoring.report(scores, rng=np.random.default_rng(0), draws=100)["details"]["spice"]
    assert found["value"] == 0.5
    assert found["ci_low"] < 0.5 < found["ci_high"]
    assert found["signature"].startswith("spice-1.0|corenlp:3.6.0|tok:ptb-")


def test_every_text_is_parsed_once_over_all_systems_and_runs(parser: CoreNLP):
    graphs = SceneGraphs(parser, 60)
    first = graphs.f_scores(["a bus", "a bus", ""], [["a bus", "two cats"], ["a"], ["a bus"]])
    assert first == [2 * 2 / 6, 2 / 3, 0.0]
    assert parsed() == ["a bus", "two cats", "a"]  # a text without words is not asked for
    graphs.close()
    later = SceneGraphs(parser, 60)
    assert later.f_scores(["a bus", "a dog"], [["two cats"], ["a bus"]]) == [0.0, 0.5]
    assert parsed() == ["a bus", "two cats", "a", "a dog"]
    later.close()


def test_a_line_that_a_killed_process_left_unfinished_is_parsed_again(parser: CoreNLP):
    graphs = SceneGraphs(parser, 60)
    graphs.parse(["a bus", "two cats"])
    graphs.close()
    [file] = Path(str(parser.parses)).iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    again = SceneGraphs(parser, 60)
    again.parse(["two cats", "a bus", "a dog"])
    again.close()
    assert parsed() == ["a bus", "two cats", "two cats", "a dog"]
    assert [json.loads(line)["text"] for line in file.read_text().split("\n")[:-1]] == ["a bus", "two cats", "a dog"]


def test_a_parser_that_fails_costs_the_metric_and_keeps_what_it_had_parsed(parser: CoreNLP):
    graphs = SceneGraphs(parser, 60)
    texts = [f"bus {number}" for number in range(16)]
    with pytest.raises(java.JavaError, match="parser failed: MemoryError: too long"):
        graphs.parse([*texts, "a broken one"])
    assert graphs.f_scores(["bus 1"], [["bus 2"]]) == [0.5]
    graphs.close()
    silent = SceneGraphs(parser, 1.0)
    with pytest.raises(java.JavaError, match="The SPICE parser ended: Java was silent for 1 s"):
        silent.parse(["hang"])


def test_without_the_parser_there_is_no_value_a_reason_and_no_failure():
    for found, reason in ((CoreNLP(), "captioning.spice.download"), (CoreNLP(reason="no network"), "no network")):
        result = plugins.load("metrics", "spice").score(["a"], [["a"]], Context(corenlp=found))["spice"]
        assert (result.value, result.items, result.excused) == (None, None, True)
        assert reason in result.reason


def test_jars_are_told_from_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(FileNotFoundError, match=r"There is no stanford-corenlp-3\.6\.0\.jar in"):
        corenlp.of_folder(tmp_path)
    for name in corenlp.SHA256:
        (tmp_path / name).write_bytes(b"jar")
    with pytest.raises(ValueError, match=r"stanford-corenlp-3.6.0.jar is not the published file: its SHA-256 is"):
        corenlp.of_folder(tmp_path)
    monkeypatch.setattr(corenlp, "SHA256", dict.fromkeys(corenlp.SHA256, hashlib.sha256(b"jar").hexdigest()))
    found = corenlp.of_folder(tmp_path)
    assert found == CoreNLP(tuple(str(tmp_path / name) for name in corenlp.SHA256), reason=None)
    corenlp.write(found, tmp_path / "found.json")
    assert corenlp.read(tmp_path / "found.json") == found


def test_the_class_path_holds_from_any_folder_and_has_each_library_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("own.jar").write_bytes(b"")
    paths = [Path(path) for path in class_path(CoreNLP(jars=("own.jar",), reason=None))]
    assert all(path.is_absolute() and path.is_file() for path in paths)
    assert (paths[0].name, paths[-1]) == ("spice-1.0.jar", tmp_path / "own.jar")
    assert {"SceneGraphParser-1.0.jar", "Meteor-1.5.jar", "guava-19.0.jar"} < {path.name for path in paths}
    with pytest.raises(java.JavaError, match=r"gone\.jar is gone since it was found"):
        class_path(CoreNLP(jars=("gone.jar",), reason=None))


def test_jars_are_fetched_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(corenlp, "SHA256", dict.fromkeys(corenlp.SHA256, hashlib.sha256(b"jar").hexdigest()))
    asked: list[str] = []

    def resolve(classifier: str, cache: Path) -> Path:
        asked.append(classifier)
        if classifier and len(asked) < 3:
            raise ConnectionError("nobody answers")
        (cache / "downloaded.jar").write_bytes(b"jar")
        return cache / "downloaded.jar"

    monkeypatch.setattr(corenlp, "_resolve", resolve)
    with pytest.raises(ConnectionError, match="nobody answers"):
        corenlp.fetch(tmp_path / "jars")
    assert [path.name for path in (tmp_path / "jars").iterdir()] == ["stanford-corenlp-3.6.0.jar"]
    assert corenlp.fetch(tmp_path / "jars").reason is None
    assert asked == ["", "models", "models"]  # what is there is not fetched again
    assert sorted(path.name for path in (tmp_path / "jars").iterdir()) == sorted(corenlp.SHA256)


def test_a_network_that_is_out_of_reach_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    requests = pytest.importorskip("requests")

    def nobody(*_, **__):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests, "request", nobody)
    with pytest.raises(ConnectionError, match=r"stanford-corenlp:3.6.0 cannot be fetched from Maven: .*"):
        corenlp.fetch(tmp_path)


# ---------------------------------------------------------------- the jar itself

JARS = os.environ.get("RETCAP_CORENLP")
needs_jars = pytest.mark.skipif(not JARS, reason="RETCAP_CORENLP does not name the folder with the CoreNLP 3.6.0 jars")


@needs_jars
def test_the_real_parser_on_captions_whose_graphs_can_be_read(tmp_path: Path):
    found = msgspec.structs.replace(corenlp.of_folder(Path(str(JARS))), parses=str(tmp_path))
    graphs = SceneGraphs(found, 300)
    # bus, street, (bus red), (bus on street) against bus, drive, road, car, (bus red), (drive on road), (car two):
    # bus and (bus red) match; street and road share no synset in METEOR's dictionary. F = 2 * 2 / (4 + 7)
    texts = ["a red bus on a street", ""], [["a red bus drives on the road", "two cars"], ["a small puppy"]]
    assert graphs.f_scores(*texts) == pytest.approx([4 / 11, 0.0])
    graphs.close()


ITEMS = int(os.environ.get("RETCAP_SPICE_ITEMS", 200))
QUIC = real_data.folder("quic360") / "test_head.csv"


@pytest.mark.slow
@needs_jars
@pytest.mark.skipif(not QUIC.is_file(), reason=f"{QUIC} is not there (set RETCAP_TEST_DATA)")
def test_scores_equal_those_of_the_original_jar_on_real_captions(tmp_path: Path):
    """Every second reference as candidate against the others, parsed and scored twice."""
    table = pd.read_csv(QUIC)
    pairs = [list(texts) for _, texts in table.groupby(["url", "query"], sort=False)["annotation"] if len(texts) > 1]
    items = [(texts[at], texts[:at] + texts[at + 1 :]) for texts in pairs for at in range(0, len(texts), 2)][:ITEMS]
    assert len(items) == ITEMS
    parses = os.environ.get("RETCAP_SPICE_PARSES", str(tmp_path))
    found = msgspec.structs.replace(corenlp.of_folder(Path(str(JARS))), parses=parses)
    with Context(corenlp=found, timeout_s=600) as context:
        words, others = context.tokenised([one for one, _ in items], [rest for _, rest in items])
        ours = context.keep("scene graphs", lambda: SceneGraphs(found, 600)).f_scores(words, others)
    asked = [{"image_id": n, "test": words[n], "refs": others[n]} for n in range(len(items))]
    (tmp_path / "items.json").write_text(json.dumps(asked))
    script = str(Path(__file__).with_name("spice_original.py"))
    command = [sys.executable, script, str(tmp_path / "items.json"), str(tmp_path / "f.json"), *class_path(found)]
    home = java.find_java().resolve().parent.parent
    subprocess.run(command, check=True, env={**os.environ, "JAVA_HOME": str(home)}, capture_output=True)
    theirs = json.loads((tmp_path / "f.json").read_text())
    # The jar merges a node with one of several equally similar ones by Java's random identity hashes.
    same = sum(abs(one - theirs[str(n)]) < 1e-12 for n, one in enumerate(ours))
    assert same == len(items)
