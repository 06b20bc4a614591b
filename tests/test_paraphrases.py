"""METEOR's table cut to the references of a study: what stays, and when it may be used."""

import gzip
from pathlib import Path

import pytest

from retcap import plugins
from retcap.captions import java, paraphrases, reference_texts
from retcap.captions.context import Context

ENTRIES = [  # what the table has, and whether "the car 's well-known red-ish bus" or "two cats" can match it
    ("car", "automobile", True),
    ("automobile", "car", True),
    ("the car", "it", True),
    ("the bus", "it", False),  # not a run of words
    ("a lorry", "truck", False),
    ("well known", "famous", True),  # the jar splits words at dashes
    ("redish", "reddish", True),  # or takes the dash out
    ("of the 's", "lorry", True),  # how the jar splits apostrophes is its own: such phrases stay
    ("café", "lorry", True),
    ("s well", "lorry", True),
    ("cats", "kittens", True),
    ("bus two", "lorry", False),  # of two references
]
TOKENS = {"The car's well-known red-ish bus.": "the car 's well-known red-ish bus", "Two cats": "two cats"}


class Spaces(Context):
    """Tokens from the table above, else words between spaces."""

    def ptb(self, texts):
        return [TOKENS.get(text, text) for text in texts]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = [f"0.{n}\n{first}\n{second}\n" for n, (first, second, _) in enumerate(ENTRIES)]
    path = tmp_path / "table.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


@pytest.mark.parametrize("block", [7, 1 << 24])
def test_an_entry_stays_where_a_reference_can_match_it(table, tmp_path, monkeypatch, block):
    monkeypatch.setattr(paraphrases, "BLOCK", block)  # entries cut at every place
    kept = paraphrases.cut(TOKENS.values(), tmp_path / "cut.gz", table)
    lines = gzip.decompress((tmp_path / "cut.gz").read_bytes()).decode().split("\n")
    wanted = [(f"0.{n}", first, second) for n, (first, second, stays) in enumerate(ENTRIES) if stays]
    assert list(zip(lines[:-1:3], lines[1::3], lines[2::3], strict=True)) == wanted
    assert kept == len(wanted)
    again = tmp_path / "again.gz"
    paraphrases.cut(TOKENS.values(), again, table)
    assert again.read_bytes() == (tmp_path / "cut.gz").read_bytes()


def test_a_table_that_ends_in_an_entry_is_an_error(table, tmp_path):
    table.write_bytes(gzip.compress(b"0.5\ncar\nautomobile\n0.4\nbus\n"))
    with pytest.raises(ValueError, match="ends with half an entry"):
        paraphrases.cut(["car"], tmp_path / "cut.gz", table)


def test_the_cut_table_serves_the_references_it_was_cut_for_and_no_others(tmp_path, table, monkeypatch):
    monkeypatch.setattr(paraphrases.java, "find_jar", lambda _: table)
    places = tmp_path / "tokens.json", tmp_path / "cut.gz"
    reference_texts.write([list(TOKENS)], Spaces(), *places, meteor=True)
    found = reference_texts.read(*places)
    assert found.tokens == TOKENS
    commands = []

    class Child:
        def __init__(self, command, _):
            commands.append(command)

        def ask(self, lines):
            return [" ".join(["1"] * 23)] * len(lines)

        def close(self):
            pass

    monkeypatch.setattr(java, "Dialogue", Child)
    with Context(references=found) as context:
        assert context._tokens == TOKENS  # the JVM of the tokeniser is not asked again
        aligner = plugins.load("metrics", "meteor").Aligner(1.0, found)
        for texts in (["two cats"], ["two cats", "a dog"], ["the car 's well-known red-ish bus"]):
            aligner.statistics(["a cat"], [texts])
    assert [str(places[1]) in command for command in commands] == [True, False, True]
    reference_texts.write([list(TOKENS)], Spaces(), *places, meteor=False)
    assert reference_texts.read(*places).table_for([["two cats"]]) is None
