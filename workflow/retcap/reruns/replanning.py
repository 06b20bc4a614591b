"""Lets Snakemake see that a job has to run although one of its `ancient` inputs is being made anew.

Snakemake (9.19 to 9.27, its issue 4166) plans in two steps: first the jobs with a reason of their own, then all that
depends on them. The first step passes over whatever lies behind a job that has to run, because the second one will come
to it; but the second one does not follow `ancient` inputs. So a new audit hid a changed learning rate: the run ended
well with the old model, and only the next one trained.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from snakemake.dag import DAG

SHAPES_RESULTS = False  # see retcap.reruns.digest
_plain = DAG.bfs


def follow_no_ancient_inputs() -> None:
    """From now on what lies behind ancient inputs alone counts as not reached, and is judged by its own reasons."""
    DAG.bfs = _bfs  # type: ignore[method-assign]


def _bfs(dag: DAG, direction: Any, *jobs: Any, stop: Callable[[Any], bool] = lambda job: False) -> Iterator[Any]:
    """Jobs in the order of their distance, as `DAG.bfs`; towards dependent jobs not over edges that are ancient."""
    if direction is not dag.depending:
        yield from _plain(dag, direction, *jobs, stop=stop)
        return
    queue = deque(jobs)
    visited = set(queue)
    while queue:
        job = queue.popleft()
        if stop(job):
            continue
        yield job
        for other, files in direction[job].items():
            if other not in visited and not all(file.is_ancient for file in files):
                queue.append(other)
                visited.add(other)
