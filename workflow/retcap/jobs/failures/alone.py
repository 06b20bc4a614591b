"""The rules that may fail alone. Each stands in `alone` of its study's plan, and has three lines in its rule file:

    retries: ALONE
    resources:  attempt=attempt
    params:     again=again("<rule>")

All others stop what depends on them: there is nothing to compare where the data could not be read.
"""

from collections.abc import Mapping

from retcap import studies

SHAPES_RESULTS = False  # see retcap.reruns.digest


def folders(rule: str) -> tuple[str, ...]:
    """The named outputs of a rule that are folders."""
    return studies.alone()[rule].folders


def more_memory(rule: str, wildcards: Mapping[str, str], asked_mb: int | None = None) -> str:
    """What to do for a job that ran out of memory. `asked_mb`: what it had asked for; None where a GPU's ran out."""
    key = studies.alone()[rule].lower.format(**wildcards)
    remedies = [f"lower `{key}`"] if key else []
    if asked_mb is not None:
        remedies.append(f"give it more than {asked_mb} MB (on a cluster: `--set-resources {rule}:mem_mb=...`)")
    said = ", or ".join(remedies) or "use a smaller model"
    return f"{said[0].upper()}{said[1:]}."
