"""Looks at a machine and a configuration in seconds, before hours are spent: `python -m retcap doctor`."""

SHAPES_RESULTS = False  # see retcap.reruns.digest
