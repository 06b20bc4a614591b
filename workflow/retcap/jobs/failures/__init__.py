"""How any job of any study fails alone, and is tried again by the next run.

    alone.py     the rules that may fail alone, which their studies name
    record.py    the failure record: what a failed job leaves in place of every output
    again.py     what the next run has to try again, as a param of the rule
    killed.py    what is known of a job that was killed
    guard.py     what `job.start` does for such a job
    verdict.py   the last lines of a run

workflow/README.md says how they work together.
"""

SHAPES_RESULTS = False  # see retcap.reruns.digest
