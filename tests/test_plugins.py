"""Plugins are found by file name, and finding them imports nothing heavy."""

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from retcap import plugins
from retcap.config import Config, resolve
from retcap.config.errors import ConfigError

EXPECTED = {"captioners": 8, "datasets": 11, "metrics": 18, "backbones": 2}  # a new plugin raises its number
HEAVY = ("torch", "transformers", "pandas", "numpy", "pyarrow", "PIL", "open_clip", "faiss", "sacrebleu", "altair")


def every_plugin():
    return [(kind, name) for kind in plugins.KINDS for name in plugins.names(kind)]


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_the_sweep_covers_every_plugin(kind: str):
    assert len(plugins.names(kind)) == EXPECTED[kind]


@pytest.mark.parametrize(("kind", "name"), every_plugin())
def test_every_plugin_keeps_the_contract(kind: str, name: str):
    module = plugins.load(kind, name)
    assert module.__doc__, f"{plugins.path(kind, name)} needs a docstring"
    assert module is plugins.load(kind, name)
    assert isinstance(module.CARD, plugins.CARDS[kind])
    assert module.CARD.name == name
    for field, value in msgspec.structs.asdict(module.CARD).items():
        assert value not in ("", ()) or field in ("groups", "notes", "shown"), (
            f"{name}: field {field} of the card is empty"
        )


@pytest.mark.parametrize("name", plugins.names("backbones"))
def test_every_backbone_loads_and_builds_by_the_same_call(name: str):
    module = plugins.load("backbones", name)
    assert list(inspect.signature(module.load).parameters) == ["source", "revision"]
    assert list(inspect.signature(module.build).parameters) == ["spec", "tokenizer_source"]
    assert list(inspect.signature(module.side_px).parameters) == ["folder"]


def test_loading_all_plugins_and_the_rule_helpers_imports_nothing_heavy():
    program = (
        "import sys\nfrom retcap import plugins, config\nfrom retcap.reruns import digest\n"
        "from retcap import studies\nfrom retcap.report import studies as sections\n"
        "from retcap.terminal import closing\n"
        "[(studies.kind(name), sections.load(name)) for name in studies.studies.ALL]\n"
        "for kind in plugins.KINDS:\n    [plugins.load(kind, name) for name in plugins.names(kind)]\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(
        plugins.UnknownPlugin, match=r"No captioner is named `lava-1.5-7b`. Did you mean `llava-1.5-7b`?"
    ):
        plugins.load("captioners", "lava-1.5-7b")


def test_a_path_is_no_plugin_name():
    with pytest.raises(plugins.UnknownPlugin):
        plugins.load("captioners", "../job")


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="Plugins come in the kinds"):
        plugins.names("captioner")


GOOD = """
"A metric."
from retcap.records import MetricCard
CARD = MetricCard(name="mine", title="Mine", task="captioning", unit="share", low=0.0, high=1.0, source="me")
"""


@pytest.fixture
def metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes `metrics/mine.py` into a copy of the plugin folders, and forgets it afterwards."""
    for kind in plugins.KINDS:
        shutil.copytree(plugins.PACKAGE / kind, tmp_path / kind, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(plugins, "PACKAGE", tmp_path)
    yield lambda text: (tmp_path / "metrics/mine.py").write_text(text)
    sys.modules.pop("retcap.metrics.mine", None)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (' unit="share",', "", 4, "does not give the field `unit` of its CARD. Add it: records.py says what it means."),
        ("low=0.0", "low='none'", None, "has a wrong value in its CARD: Expected `float`, got `str` - at `$.low`."),
        ("CARD = ", "CARDS = ", None, "has no CARD. It needs a MetricCard"),
        ("CARD = MetricCard(", "CARD = dict(", None, "has a dict as CARD. It needs a MetricCard"),
        ('name="mine"', 'name="other"', None, "says in its CARD that its name is `other`"),
        ('"A metric."', 'import nothing_of_this_name', 2, "cannot be imported: ModuleNotFoundError: No module named"),
        ("CARD = ", "CARD = = ", 4, "cannot be imported: SyntaxError: invalid syntax"),
        ("CARD = ", "raise RuntimeError('no')\nCARD = ", 4, "cannot be imported: RuntimeError: no"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_named_once_beside_other_problems(metric, old: str, new: str, line: int | None, words: str):
    assert old in GOOD
    metric(GOOD.replace(old, new))
    values = Config().model_dump(mode="json")
    values["captioning"]["metrics"] = ["bleu", "blue"]
    with pytest.raises(ConfigError) as caught:
        resolve(values)
    text = str(caught.value)
    place = f"{plugins.PACKAGE}/metrics/mine.py" + (f":{line}" if line else "")
    assert text.count(f"\n  {place}: the plugin `mine` of metrics {words}") == 1
    assert "captioning.metrics[1]: No metric for captioning is named `blue`" in text
    assert "has 2 problems" in text


def test_a_whole_plugin_beside_the_others_is_found(metric):
    metric(GOOD)
    assert "mine" in plugins.names("metrics", "captioning")
    assert plugins.broken() == []


def test_a_plugin_with_a_name_that_snakemake_would_misread_is_named(metric):
    metric(GOOD)
    (plugins.PACKAGE / "metrics/mine.py").rename(plugins.PACKAGE / "metrics/mine {x}.py")
    (found,) = plugins.broken()
    assert "metrics/mine {x}.py: a plugin is named with letters, digits" in found
