"""The code digest: blind to comments, docstrings and layout, sharp to meaning at any depth."""

from pathlib import Path

import pytest

from retcap.reruns import digest as module

SCRIPT = '"""A script."""\nfrom toy import first\n\nfirst.run()\n'
FIRST = 'import toy.deep.second\n\n\ndef run():\n    """Run."""\n    return toy.deep.second.value()  # a comment\n'
SECOND = "def value():\n    return 1\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toy"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "first.py").write_text(FIRST)
    (folder / "deep" / "second.py").write_text(SECOND)
    (folder / "unrelated.py").write_text("x = 1\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(module, "PACKAGE", folder)
    return folder


def digest_now(package: Path, *more: Path) -> str:
    module._node.cache_clear()
    return module.digest(package.parent / "script.py", *more)


def test_covers_exactly_what_is_imported_at_any_depth(package: Path):
    module._node.cache_clear()
    covered = module.modules(package.parent / "script.py")
    assert list(covered) == ["__init__.py", "deep/second.py", "first.py", "script.py"]


@pytest.mark.parametrize(
    ("file", "before", "after", "changes"),
    [
        ("first.py", "# a comment", "# another comment", False),
        ("first.py", '"""Run."""', '"""Run it, please."""', False),
        ("first.py", "return toy.deep.second.value()", "return (\n        toy.deep.second.value()\n    )", False),
        ("deep/second.py", "return 1", "return 2", True),
        ("deep/second.py", "def value():", "def value(x=0):", True),
        ("unrelated.py", "x = 1", "x = 2", False),
    ],
)
def test_changes_with_meaning_only(package: Path, file: str, before: str, after: str, changes: bool):
    old = digest_now(package)
    text = (package / file).read_text()
    assert before in text
    (package / file).write_text(text.replace(before, after))
    assert (digest_now(package) != old) is changes


def test_a_module_that_shapes_no_result_counts_for_nothing(package: Path):
    with_second = digest_now(package)
    neutral = "SHAPES_RESULTS = False\n" + FIRST
    (package / "first.py").write_text(neutral)
    old = digest_now(package)
    assert old != with_second
    (package / "first.py").write_text(neutral.replace("def run", "def go"))
    (package / "deep" / "second.py").write_text("def value():\n    return 2\n")  # only the neutral module imports it
    assert digest_now(package) == old


@pytest.mark.parametrize(
    "line",
    [
        "from toy.deep import second",
        "from toy.deep.second import value",
        "from .deep import second",
        "from . import deep\nfrom .deep.second import value",
        "def f():\n    from toy.deep.second import value",
        "import toy.deep.second as s",
    ],
)
def test_every_form_of_import_is_followed(package: Path, line: str):
    (package / "first.py").write_text(line + "\n")
    old = digest_now(package)
    (package / "deep" / "second.py").write_text("def value():\n    return 3\n")
    assert digest_now(package) != old


def test_other_files_count_by_their_bytes(package: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text("a")
    old = digest_now(package, page)
    page.write_text("b")
    assert digest_now(package, page) != old


def test_import_cycles_end(package: Path):
    (package / "deep" / "second.py").write_text("from toy import first\n")
    assert len(digest_now(package)) == 12
