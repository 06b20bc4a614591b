"""The wrapper of the README's two commands on machines that lack uv, pip or Python."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[1] / "uvw"
COREUTILS = ("cat", "chmod", "cp", "dirname", "env", "head", "ls", "mkdir", "mv", "pwd", "rm", "sort", "tr", "uname")
PINNED = re.search(r"^VERSION=(.+)$", WRAPPER.read_text(encoding="utf-8"), re.MULTILINE)[1]


class Machine:
    """A folder with the wrapper, and a PATH with nothing but what it is given."""

    def __init__(self, folder: Path):
        self.programs, self.project = folder / "programs", folder / "a project"
        for made in (self.programs, self.project):
            made.mkdir()
        shutil.copy(WRAPPER, self.project)
        for name in ("git", *COREUTILS):
            if found := shutil.which(name):
                self.link(name, found)

    def link(self, name: str, target: str) -> None:
        (self.programs / name).symlink_to(Path(target).resolve())

    def script(self, name: str, text: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.programs / name).chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP", "http"))}
        environment = {**kept, "PATH": str(self.programs), "HOME": str(self.programs.parent), "PIP_USER": "1"}
        command = ["/bin/sh", str(self.project / "uvw"), *arguments]
        return subprocess.run(
            command, env=environment, cwd=self.project, capture_output=True, text=True, timeout=300, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_uv_of_the_machine_is_used(machine: Machine):
    machine.script("uv", 'echo "own uv:" "$@"; echo "started as $UVW"')
    done = machine.run("run", "pytest", "-m", "not slow")
    said = f"own uv: run pytest -m not slow\nstarted as {machine.project / 'uvw'}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert [path.name for path in machine.project.iterdir()] == ["uvw"]


@pytest.mark.parametrize("python", [None, "echo No module named pip >&2; exit 1"], ids=["no python3", "no pip"])
def test_one_sentence_says_that_nothing_can_fetch_uv(machine: Machine, python: str | None):
    if python is not None:
        machine.script("python3", python)
    done = machine.run("run", "pytest")
    assert done.returncode == 1
    assert done.stderr == (
        "uvw: There is no uv here, and no python3 with pip to fetch it: "
        "install uv, or pip (python3-pip), and try again.\n"
    )


def test_one_sentence_says_that_pip_found_no_uv(machine: Machine):
    machine.script("python3", '[ "$3" = --version ] || { echo "ERROR: no network" >&2; exit 1; }')
    done = machine.run("--version")
    assert done.returncode == 1
    assert done.stderr == (
        f"ERROR: no network\nuvw: pip could not fetch uv {PINNED} (its reason stands above): "
        "give it a network, or install uv yourself.\n"
    )
    assert [path.name for path in machine.project.iterdir()] == ["uvw"]


def test_one_sentence_says_that_python_is_too_old(machine: Machine):
    machine.script("uv", '[ "$1" != python ]')
    done = machine.run("run", "pytest")
    assert done.returncode == 1
    assert done.stderr == (
        "uvw: There is no Python 3.11 or newer here, and uv could not download one: install Python and try again.\n"
    )
    (machine.project / ".venv").mkdir()  # an environment that is there has its Python
    assert machine.run("run", "pytest").returncode == 0


@pytest.mark.slow
def test_with_python_git_and_coreutils_alone_a_pinned_uv_is_fetched_once(machine: Machine):
    machine.link("python3", str(Path(sys.base_prefix) / "bin" / "python3"))
    done = machine.run("--version")
    if "could not fetch" in done.stderr:
        pytest.skip(f"no network: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"uv {PINNED}")
    assert [path.name for path in (machine.project / ".uv").iterdir()] == [PINNED]
    (machine.programs / "python3").unlink()
    (machine.project / ".venv").mkdir()
    again = machine.run("--version")
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, ""), "nothing is fetched a second time"
