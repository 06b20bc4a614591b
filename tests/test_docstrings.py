"""The examples in the docstrings of every module hold."""

import doctest
import importlib
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1] / "workflow"
PACKAGES = ("retcap", "snakemake_logger_plugin_retcap")
FILES = [
    file.relative_to(TOP)
    for package in PACKAGES
    for file in sorted((TOP / package).rglob("*.py"))
    if re.search(r"^\s*>>> ", file.read_text(encoding="utf-8"), re.MULTILINE)
]


def load(file: Path):
    """A module by its file. Names of plugins, such as `llava-1.5-7b`, are those of models and no Python."""
    name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    if all(part.isidentifier() for part in file.with_suffix("").parts):
        return importlib.import_module(name)
    spec = spec_from_file_location(re.sub(r"\W", "_", name), TOP / file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_examples_hold(file: Path):
    found = doctest.testmod(load(file))
    assert found.attempted, "its examples stand where doctest does not look"
    assert not found.failed


def test_examples_were_found_in_many_modules():
    assert len(FILES) > 50
