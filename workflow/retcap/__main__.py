"""Commands of the package: `python -m retcap why RULE`, `doctor`, `caption IMAGE --model FOLDER`."""

import sys

from retcap.captions import command as caption
from retcap.doctor import command as doctor
from retcap.reruns import why

COMMANDS = {"caption": caption.main, "doctor": doctor.main, "why": why.main}


def main() -> int:
    """Run the command that is named first."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        print(f"{why.__doc__}\n{doctor.__doc__}\n{caption.__doc__}", file=sys.stderr)
        return 2
    return COMMANDS[name](arguments)


if __name__ == "__main__":
    sys.exit(main())
