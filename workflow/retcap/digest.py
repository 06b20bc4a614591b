"""Code digest of a script: what its code means, not how it is written.

Snakemake re-runs a `script:` job when the file's mtime changes (a checkout re-trains) and never when an imported module
changes (results go stale). Rules therefore carry `params: code=...` with this digest, and the profiles leave the `code`
trigger out. The digest covers the syntax tree, without comments and docstrings, of the script, of every module of this
package that it imports (at any depth, also inside functions), and of plugins and templates named by the caller.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def digest(*files: Path) -> str:
    """12 hex digits over the meaning of the given files and everything of this package that they import.

    Python files count by syntax tree, other files (templates, style sheets) by their bytes.
    """
    seen: dict[str, str] = {}
    for file in files:
        _collect(Path(file), seen)
    return hashlib.sha256("\n".join(f"{name} {value}" for name, value in sorted(seen.items())).encode()).hexdigest()[:12]


def modules(*files: Path) -> list[str]:
    """Names of all files that the digest of the given files covers, relative to the package where they lie in it."""
    seen: dict[str, str] = {}
    for file in files:
        _collect(Path(file), seen)
    return sorted(seen)


def _collect(file: Path, seen: dict[str, str]) -> None:
    file = file.resolve()
    name = file.relative_to(PACKAGE).as_posix() if file.is_relative_to(PACKAGE) else file.name
    if name in seen:
        return
    if file.suffix != ".py":
        seen[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        return
    seen[name], imported = _parsed(file)
    for module in imported:
        _collect(module, seen)


@cache
def _parsed(file: Path) -> tuple[str, tuple[Path, ...]]:
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    imported = tuple(sorted({found for node in ast.walk(tree) for found in _imports(node, file)}))
    for node in ast.walk(tree):
        _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:]


def _imports(node: ast.AST, file: Path) -> list[Path]:
    if isinstance(node, ast.Import):
        return [found for alias in node.names for found in _resolve(alias.name.split("."))]
    if isinstance(node, ast.ImportFrom):
        if node.level:  # a relative import: count up from the file's folder
            if not file.is_relative_to(PACKAGE):
                return []
            above = [PACKAGE.name, *file.relative_to(PACKAGE).parent.parts]
            base = above[: len(above) - node.level + 1]
        else:
            base = []
        base = base + (node.module.split(".") if node.module else [])
        return [found for alias in node.names for found in _resolve([*base, alias.name])]
    return []


def _resolve(parts: list[str]) -> list[Path]:
    """Files behind a dotted name: the module and the `__init__` of every package on the way to it."""
    if not parts or parts[0] != PACKAGE.name:
        return []
    found, folder = [], PACKAGE
    for part in ["", *parts[1:]]:
        folder = folder / part if part else folder
        if (folder / "__init__.py").is_file():
            found.append((folder / "__init__.py").resolve())
        elif folder.with_suffix(".py").is_file():
            found.append(folder.with_suffix(".py").resolve())
            break
        elif not folder.is_dir():
            break
    return found
