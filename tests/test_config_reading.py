"""Configuration files that are broken, or say a thing twice: every fault with its file and line."""

import itertools
from pathlib import Path

import pytest
import yaml

import quick_start
from retcap.config import files as config_files
from retcap.config import reading, resolve
from test_config_checks import problems, resolved

ROOT = Path(__file__).parents[1]
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{one}: &{one} [{','.join(['*' + of] * 9)}]\n" for of, one in itertools.pairwise("abcdefg")
)
BROKEN = {  # text of a file -> line and words of its fault
    "seed: 1\nretrieval:\n\tk: [1]\n": (3, "is indented with a tab"),
    "seed: 1\nretrieval:\n  k: [1, 5\n  dialects: [ret]\n": (3, "begins a list `[…]` that is not closed"),
    "retrieval: {k: [1], dialects: [ret]\nseed: 1\n": (1, "begins a mapping `{…}` that is not closed"),
    "experiment: 'x\nseed: 1\n": (1, "begins a text whose closing quotation mark is missing"),
    "report:\n  title: a: b\n": (2, "has a colon where none can be"),
    "seed 1\nexperiment: x\n": (2, "is a colon missing in the line above"),
    "seed: 1\nexperiment\n": (2, "is no key: a colon and a blank are missing"),
    "retrieval:\n  k: [1]\n dialects: [ret]\n": (3, "does not fit the lines above: check its indentation"),
    "seed:1\n": (1, "holds text instead of keys. A key is followed by a colon and a blank"),
    "experiment: @x\n": (1, "has a text that begins with `@`. Put it in quotation marks"),
    "seed: *x\n": (1, "has `*x`, which refers to nothing"),
    "%x\nseed: 1\n": (2, "quote a text that begins with `%`"),
    "seed: 1\n---\nseed: 2\n": (2, "begins a second document"),
    "seed: !env x\n": (1, "has the tag `!env`"),
    "seed: 1\nexperiment: 2026-13-01\n": (2, "is no date or number that exists"),
    "? [a, b]\n: 1\n": (1, "has a list or a mapping as a key"),
    'captioning: {csv: "C:\\data"}\n': (1, r"has `\d` between double quotation marks"),
    "retrieval: &a\n  x: *a\n": (1, "refers to itself"),
    "a: " + "[" * 3000 + "]" * 3000: (None, "is nested more than 50 levels deep"),
    "a: " + "[" * 99 + "]" * 99: (1, "is nested more than 50 levels deep"),
    LAUGHS: (6, "grows to more than 100,000 values"),
    "seed: 1\nreport: {title: 'a\0b'}\n": (2, "holds the control character U+0000"),
    "": (None, "is empty"),
    "# a comment\n": (None, "is empty"),
    "- seed: 1\n": (1, "holds a list instead of keys"),
    "a: [1\r\nb: 2\r\n": (1, "begins a list"),
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_says_where_and_what(text: str, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    (fault,) = reading.faults(file)
    line, words = BROKEN[text]
    assert fault.line == line
    assert words in fault.text


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("seed: 1\nreport: {title: 'Grüße'}\n".encode("latin-1"), 2, "byte 0xfc is no UTF-8. Save the file as UTF-8."),
        ("seed: 1\n".encode("utf-16"), None, "is in UTF-16. Save it as UTF-8."),
    ],
)
def test_another_encoding_is_named(content: bytes, line: int | None, words: str, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    assert reading.faults(file) == [reading.Fault(line, words)]


def test_what_is_no_file_is_named(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    (found,) = reading.faults(tmp_path / "mien.yaml")
    assert found.text == f"is not there. Did you mean `{tmp_path}/mine.yaml`?"
    assert reading.faults(tmp_path)[0].text == "is a folder. Name a file."
    assert reading.faults(tmp_path / "no/where.yaml")[0].text == "is not there."


@pytest.mark.parametrize(
    "text", ["\ufeffseed: 1\n", '{"seed": 1,}', '{\n\t"seed": 1\n}', "a: &a {x: 1}\nb: {<<: *a, x: 2}\n"]
)
def test_what_snakemake_understands_is_understood(text: str, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    assert reading.faults(file) == []


def test_keys_that_stand_twice_are_refused_beside_other_problems(tmp_path: Path):
    text = problems(
        "seed: 1\n"
        "retrieval:\n"
        "  k: [1]\n"
        "  training: {epochs: 1, epochs: 2}\n"  # 4
        "  k: [5]\n"
        "seed: 2\n"
        "seed: -1\n"  # 7
        "captioning:\n"
        "  options:\n"
        "    llava-1.5-7b: {batch_size: 2}\n"
        "    llava-1.5-7b: {batch_size: 3}\n",  # 11
        folder=tmp_path,
    )
    for line, words in [
        (4, "retrieval.training.epochs: is given twice, in the same line. Keep one."),
        (5, "retrieval.k: is given twice, first in line 3. Keep one."),
        (6, "seed: is given twice, first in line 1."),
        (7, "seed: is given twice, first in line 1."),
        (7, "seed: input should be greater than or equal to 0. Got -1 instead."),
        (11, "captioning.options.llava-1.5-7b: is given twice, first in line 10."),
    ]:
        assert f"\n  mine.yaml:{line}: {words}" in text
    assert "has 6 problems" in text


def test_a_repeated_key_of_json_is_refused_with_its_line(tmp_path: Path):
    file = tmp_path / "mine.json"
    file.write_text('{\n\t"seed": 1,\n\t"report": {"title": "a", "title": "b"},\n\t"seed": 2\n}')
    assert [(fault.line, fault.text.partition(":")[0]) for fault in reading.faults(file)] == [
        (3, "report.title"),
        (4, "seed"),
    ]
    assert reading.line(file, ("report", "title")) == 3


def test_keys_merged_from_an_anchor_are_not_repeated(tmp_path: Path):
    text = (
        "retrieval:\n  retrievers:\n    one: &one {backbone: tiny, cell: {hidden_size: 8, num_queries: 2}}\n"
        "    two: {<<: *one, layer_strategy: clip_vit_b}\n"
    )
    found = resolved(text, folder=tmp_path)["retrieval"]["retrievers"]
    assert found["two"] == found["one"] | {"layer_strategy": "clip_vit_b"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed=1", "seed=2"], "seed: is given twice. Keep one."),
        (["report={title: a, title: b}"], "report.title: is given twice, in the same line. Keep one."),
        (["report={title: a}", "report={title: b, examples: 3}"], "report.title: is given twice. Keep one."),
        (["report={title: a}", "report=3"], "report: is given twice. Keep one."),
    ],
)
def test_the_command_line_sets_a_key_once(arguments: list[str], words: str):
    values = yaml.safe_load((config_files.FOLDER / "config.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match=rf"command line \(--config\): {words}".replace(".", "[.]")):
        resolve(values, [], {}, arguments)
    assert resolve(values, [], {}, ["report={title: a}", "report={examples: 3}", "seed=1"])


def test_keys_that_yaml_reads_as_something_else_are_named(tmp_path: Path):
    text = problems("true: x\n2: y\n", folder=tmp_path)
    assert "mine.yaml:1: true: the key true is no word" in text
    assert "mine.yaml:2: 2: the key 2 is no word" in text


def snakemake(*arguments: str, folder: Path = ROOT) -> tuple[int, str]:
    """Snakemake with the plugin's functions installed, as the plugin does it where it is part of the environment."""
    program = (
        "from snakemake_logger_plugin_retcap import arguments\narguments.install()\n"
        "from snakemake.cli import main\nmain()"
    )
    done = quick_start.run("-c", program, "-n", *arguments, cwd=folder)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "seed"], "--config seed: takes key=value, such as seed=1"),
        (["--config", "s=1"], "--config s=1: takes key=value, such as seed=1"),
        (["--config", "seed=1", "results/demo/report.html"], "put it behind two dashes: -- results/demo/report.html"),
        (["--config", "config/m2kr.yaml"], "For a file of settings: --configfile config/m2kr.yaml"),
        (["--configfile", "config/m2k.yaml"], "config/m2k.yaml: is not there. Did you mean `config/m2kr.yaml`?"),
        (["--configfile", "config"], "config: is a folder. Name a file."),
        (["--configfile", "tab.yaml"], "tab.yaml:2: is indented with a tab. YAML takes blanks only."),
        (["--configfile", "latin.yaml"], "latin.yaml:1: byte 0xfc is no UTF-8. Save the file as UTF-8."),
        (["--configfile", "itself.yaml"], "itself.yaml:1: refers to itself"),
    ],
)
def test_the_command_line_is_explained_before_any_snakefile_is_read(arguments: list[str], words: str, tmp_path: Path):
    files = {"tab.yaml": b"a:\n\tb: 1\n", "latin.yaml": b"a: \xfc\n", "itself.yaml": b"report: &a\n  x: *a\n"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    given = [str(tmp_path / argument) if argument in files else argument for argument in arguments]
    status, text = snakemake(*given)
    assert status == 1
    assert words in text
    assert "Traceback" not in text
    assert 'File "' not in text
