"""No two modules of the package import each other, at whatever distance; imports inside of functions count too.

Those that only a type checker follows do not: `captions/context.py` names the type of a field that
`captions/frequencies.py` fills, and no interpreter ever imports it from there.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import retcap

PACKAGE = Path(retcap.__file__).parent


def name_of(file: Path, package: Path) -> str:
    parts = [package.name, *file.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names that are imported at any depth, except for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from imports(ast.Module([other], []))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not followed here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


def graph(package: Path) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports itself."""
    files = {name_of(file, package): file for file in sorted(package.rglob("*.py"))}
    found = {}
    for module, file in files.items():
        names = imports(ast.parse(file.read_bytes()))
        meant = {name if name in files else name.rpartition(".")[0] for name in names}
        found[module] = {name for name in meant if name in files}
    return found


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """Modules that import one another in a ring, the first once more at the end; empty if there are none."""
    done: set[str] = set()

    def search(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(edges[module]):
            if found := search(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in edges if (found := search(module, []))), [])


def test_no_import_goes_in_a_circle():
    edges = graph(PACKAGE)
    assert len(edges) > 200
    assert sum(map(len, edges.values())) > 400
    assert " → ".join(circle(edges)) == ""


@pytest.mark.parametrize("hidden", ["import p.a", "def late():\n    from p.a import thing", "from p import a"])
def test_a_circle_is_found_also_inside_of_a_function(hidden: str, tmp_path: Path):
    (tmp_path / "p").mkdir()
    for name, text in {"__init__": "", "a": "from p.b import x", "b": "import p.c", "c": hidden}.items():
        (tmp_path / f"p/{name}.py").write_text(text)
    assert circle(graph(tmp_path / "p")) == ["p.a", "p.b", "p.c", "p.a"]


def test_what_a_type_checker_alone_imports_is_no_circle(tmp_path: Path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.b\n")
    (tmp_path / "p/b.py").write_text("import p.a")
    assert circle(graph(tmp_path / "p")) == []
