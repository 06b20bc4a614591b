"""Starts the suite from a checkout: `python tests/benchmarks/gpu`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != HERE]  # its files are parts of a package
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "workflow")]

if __name__ == "__main__":  # a process that this one spawns imports the file without running it
    from gpu import command

    sys.exit(command.main(sys.argv[1:]))
