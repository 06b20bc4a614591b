"""The conda environments hold what the jobs that name them import; pyproject.toml's one environment hides a gap."""

import ast
import re
import sys
from pathlib import Path

import pytest

from retcap.reruns import digest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "workflow/retcap"
NAMES = {
    "PIL": "pillow",
    "open_clip": "open-clip-torch",
    "vl_convert": "vl-convert-python",
    "yaml": "pyyaml",
}  # import -> package


def rules() -> dict[str, str]:
    """Environment of every rule that has a script."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    found = {}
    for body in re.split(r"^ *(?:use )?rule ", text, flags=re.MULTILINE)[1:]:
        environment, script = (
            re.search(rf"{part}/([\w]+)\.{end}", body) for part, end in (("envs", "yaml"), ("scripts", "py"))
        )
        if environment and script:
            found[script[1]] = environment[1]
    return found


def imported(file: Path) -> set[str]:
    """Top-level packages that a module imports as it loads; what a function imports is its own affair."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("rule", sorted(rules()))
def test_the_environment_of_a_rule_has_what_its_script_imports(rule: str):
    pins = set(re.findall(r'- "([\w.-]+)==', (ROOT / f"envs/{rules()[rule]}.yaml").read_text()))
    script = ROOT / f"workflow/scripts/{rule}.py"
    files = [script, *(PACKAGE / name for name in digest.modules(script) if name != script.name)]
    needed = set().union(*map(imported, files)) - set(sys.stdlib_module_names) - {"retcap"}
    assert {NAMES.get(name, name) for name in needed} <= pins


def test_every_script_is_covered():
    assert set(rules()) == {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
