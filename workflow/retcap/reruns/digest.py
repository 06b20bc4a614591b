"""Code digest of a script: what its code means, not how it is written.

Snakemake re-runs a `script:` job when the file's mtime changes (a checkout re-trains) and never when an imported module
changes (results go stale). Rules therefore carry `params: code=...` with this digest, and the profiles leave the `code`
trigger out. The digest covers the syntax tree, without comments and docstrings, of the script, of every module of this
package that it imports (at any depth, also inside functions), and of plugins and templates named by the caller.

A module that says `SHAPES_RESULTS = False` is left out, with all that only it imports. It carries a job (logs,
progress, leases, provenance) without touching what the job computes: a better message must not cost a training run.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from retcap.files.whole import replacing

PACKAGE = Path(__file__).parents[1]
VERSION = 2  # of the rules below; raised when they change, because the cache outlives them
CACHE = Path(".snakemake/retcap-digests.json")  # in the working directory; content-addressed, safe to delete
RECORDS = Path(".snakemake/retcap-code")  # likewise: what each digest covered
_kept: set[str] = set()  # digests whose record is known to be there
Import = tuple[int, str, str]  # dots of a relative import, module, name taken from it


def digest(*files: Path) -> str:
    """12 hex digits over the meaning of the given files and everything of this package that they import.

    Python files count by syntax tree, other files (templates, style sheets) by their bytes.
    """
    return _joined(modules(*files))


def recorded(*files: Path) -> str:
    """The same, and what it covers is kept, so that a later run can say which module changed; see `why`."""
    covered = modules(*files)
    value = _joined(covered)
    if value not in _kept:
        _kept.add(value)
        file = RECORDS / f"{value}.json"
        if not file.is_file():
            RECORDS.mkdir(parents=True, exist_ok=True)
            with replacing(file, several=True) as partial:
                partial.write_text(json.dumps(covered), encoding="utf-8")
    return value


def covered(value: str) -> dict[str, str] | None:
    """What a digest of an earlier run covered: each file's name and hash of its meaning. None where it is not known."""
    try:
        return json.loads((RECORDS / f"{value}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def modules(*files: Path) -> dict[str, str]:
    """Files that the digest covers, by name (relative to the package where they lie in it), with their hashes."""
    seen: dict[str, str] = {}
    for file in files:
        _collect(Path(file), seen)
    return dict(sorted(seen.items()))


def _joined(covered: dict[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{name} {value}" for name, value in covered.items()).encode()).hexdigest()[:12]


def save_cache() -> None:
    """Keep what was parsed for the next run: parsing some hundred modules costs seconds, hashing them nothing."""
    known = _known()
    if known.pop("changed", False) and CACHE.parent.is_dir():
        with replacing(CACHE, several=True) as partial:
            partial.write_text(json.dumps(known), encoding="utf-8")


def _collect(file: Path, seen: dict[str, str]) -> None:
    """Add a file, and all that it imports at any depth. Plans ask for some fifty scripts that share most of it."""
    name, meaning, imported = _node(file)
    if name not in seen:
        seen[name] = meaning
        for module in imported:
            _collect(module, seen)


@cache
def _node(file: Path) -> tuple[str, str, list[Path]]:
    """Name of a file, hash of its meaning, files of this package that it imports itself."""
    file = file.resolve()
    name = file.relative_to(PACKAGE).as_posix() if file.is_relative_to(PACKAGE) else file.name
    meaning, imports = _parsed(file)
    return name, meaning, [module for found in imports for module in _resolve(_absolute(found, file))]


def _parsed(file: Path) -> tuple[str, list[Import]]:
    """Hash of a file's meaning and the imports in it."""
    content = file.read_bytes()
    key = f"{VERSION}-{hashlib.sha256(content).hexdigest()}"
    if file.suffix != ".py":
        return key, []
    known = _known()
    if key not in known:
        imports: list[Import] = []
        tree = ast.parse(content, filename=str(file))
        text = "" if _is_neutral(tree) else "".join(_meaning(tree, imports))
        known[key] = hashlib.sha256(text.encode()).hexdigest(), sorted(set(imports))
        known["changed"] = True
    meaning, imports = known[key]
    return meaning, [(level, module, name) for level, module, name in imports]  # JSON has lists in place of tuples


@cache
def _known() -> dict:
    try:
        return json.loads(CACHE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _is_neutral(tree: ast.Module) -> bool:
    """Whether a module says of itself that it shapes no result."""
    return any(ast.unparse(node) == "SHAPES_RESULTS = False" for node in tree.body if isinstance(node, ast.Assign))


def _meaning(node: ast.AST, imports: list[Import]) -> Iterator[str]:
    """The syntax tree as text, without positions, comments, docstrings and empty fields (they vary with Python)."""
    if isinstance(node, ast.Import):
        imports += [(0, alias.name, "") for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        imports += [(node.level, node.module or "", alias.name) for alias in node.names]
    yield f"({type(node).__name__}"
    for field in node._fields:
        value = getattr(node, field, None)
        if field == "body" and isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            value = node.body[1:] if ast.get_docstring(node, clean=False) is not None else value
        if isinstance(value, ast.AST):
            yield f" {field}="
            yield from _meaning(value, imports)
        elif isinstance(value, list):
            if value:
                yield f" {field}=["
                for item in value:
                    if isinstance(item, ast.AST):
                        yield from _meaning(item, imports)
                    else:
                        yield f"{item!r},"
                yield "]"
        elif value is not None:
            yield f" {field}={value!r}"
    yield ")"


def _absolute(found: Import, file: Path) -> list[str]:
    """Parts of the dotted name that an import statement in `file` means."""
    level, module, name = found
    base: list[str] = []
    if level:  # a relative import: count up from the file's folder
        if not file.is_relative_to(PACKAGE):
            return []
        above = [PACKAGE.name, *file.relative_to(PACKAGE).parent.parts]
        base = above[: len(above) - level + 1]
    return [*base, *(part for part in (*module.split("."), name) if part)]


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
