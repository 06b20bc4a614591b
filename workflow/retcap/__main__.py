"""Commands of the package: `python -m retcap why RULE`, `python -m retcap doctor`."""

import sys

from retcap.doctor import command as doctor
from retcap.reruns import why

COMMANDS = {"doctor": doctor.main, "why": why.main}


def main() -> int:
    """Run the command that is named first."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        print(f"{why.__doc__}\n{doctor.__doc__}", file=sys.stderr)
        return 2
    return COMMANDS[name](arguments)


if __name__ == "__main__":
    sys.exit(main())
