"""Commands of the package: `python -m retcap why RULE`."""

import sys

from retcap.reruns import why

COMMANDS = {"why": why.main}


def main() -> int:
    """Run the command that is named first."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        print(why.__doc__, file=sys.stderr)
        return 2
    return COMMANDS[name](arguments)


if __name__ == "__main__":
    sys.exit(main())
