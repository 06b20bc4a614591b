"""Plugins are found by file name, and finding them imports nothing heavy."""

import inspect
import subprocess
import sys

import msgspec
import pytest

from retcap import plugins
from retcap.records import BackboneCard, CaptionerCard, DatasetCard, MetricCard

CARDS = {"backbones": BackboneCard, "captioners": CaptionerCard, "datasets": DatasetCard, "metrics": MetricCard}
EXPECTED = {"captioners": 2, "datasets": 7, "metrics": 10, "backbones": 2}  # a new plugin raises its number
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
    assert isinstance(module.CARD, CARDS[kind])
    assert module.CARD.name == name
    for field, value in msgspec.structs.asdict(module.CARD).items():
        assert value not in ("", ()) or field in ("notes", "shown"), f"{name}: field {field} of the card is empty"


@pytest.mark.parametrize("name", plugins.names("backbones"))
def test_every_backbone_loads_and_builds_by_the_same_call(name: str):
    module = plugins.load("backbones", name)
    assert list(inspect.signature(module.load).parameters) == ["source", "revision"]
    assert list(inspect.signature(module.build).parameters) == ["spec", "tokenizer_source"]


def test_loading_all_plugins_and_the_rule_helpers_imports_nothing_heavy():
    program = (
        "import sys\nfrom retcap import plugins, config, digest\n"
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
