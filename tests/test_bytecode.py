"""Byte code for jobs: a place of its own exactly where Python could not keep it otherwise."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from retcap.jobs import bytecode
from toy_workflow import ROOT, Toys


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package without byte code, taken for torch."""
    (tmp_path / "large").mkdir()
    (tmp_path / "large/__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bytecode, "LARGEST", "large")
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "")
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    return tmp_path / "large"


def chosen() -> tuple[str | None, str | None]:
    bytecode.keep_for_jobs()
    return os.environ.get("PYTHONPYCACHEPREFIX"), os.environ.get("PYTHONDONTWRITEBYTECODE")


def test_jobs_get_a_place_of_their_own_where_python_may_not_write(package: Path):
    assert chosen() == (str(package.parent / ".snakemake/bytecode"), None)


def test_nothing_changes_where_byte_code_is_there(package: Path):
    compiled = Path(importlib.util.cache_from_source(str(package / "__init__.py")))
    compiled.parent.mkdir()
    compiled.write_bytes(b"code")
    assert chosen() == ("", "1")


def test_nothing_changes_where_python_writes_by_itself(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert chosen() == ("", "1")


def test_a_read_only_environment_counts_as_one_where_python_may_not_write(package: Path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert chosen()[0] == str(package.parent / ".snakemake/bytecode")


def test_the_place_that_somebody_chose_stays(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "/somewhere")
    assert chosen() == ("/somewhere", "1")


def test_jobs_without_torch_need_nothing(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bytecode, "LARGEST", "no_such_package")
    assert chosen() == ("", "1")


def test_the_jobs_of_a_run_use_it(tmp_path: Path):
    """The Snakefile sets it; here for a package that nobody has compiled."""
    (tmp_path / "packages/large").mkdir(parents=True)
    (tmp_path / "packages/large/__init__.py").write_text("x = 1\n")
    toys = Toys(tmp_path).make(before="import large", first="pass")
    file = toys.folder / "Snakefile"
    file.write_text(
        "from retcap.jobs import bytecode\nbytecode.LARGEST = 'large'\nbytecode.keep_for_jobs()\n" + file.read_text()
    )
    path = os.pathsep.join([str(ROOT / "workflow"), str(tmp_path / "packages")])
    done = toys.run(jobs="", PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX="", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert list((toys.folder / ".snakemake/bytecode").rglob("large/__init__*.pyc"))
    assert not list((tmp_path / "packages").rglob("*.pyc"))


def test_uv_compiles_nothing_in_every_call():
    assert "compile-bytecode" not in (ROOT / "pyproject.toml").read_text()


def test_the_workflow_asks_for_it():
    assert "\nbytecode.keep_for_jobs()\n" in (ROOT / "workflow/rules/common.smk").read_text()
