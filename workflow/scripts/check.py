"""Give the run its exit status: fail, after everything else is done, when a model failed."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retcap import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    path = snakemake.input.get("summary")
    summary = json.loads(Path(path).read_text(encoding="utf-8")) if path else {"failed": 0, "completed": 0}
    if summary["failed"]:
        for name in summary["failures"]:  # so that the next run tries exactly these models again
            for suffix in (".parquet", ".json"):
                (Path(snakemake.params.captions) / f"{name}{suffix}").unlink(missing_ok=True)
        lines = [f"  {name}: {reason}" for name, reason in summary["failures"].items()]
        head = f"{summary['failed']} of {summary['total']} captioners failed; {snakemake.input.report} has the rest."
        raise RuntimeError("\n".join([head, *lines, "  The next run tries them again."]))
    run.out.verdict.write_text(json.dumps({"failed": 0, "completed": summary["completed"]}), encoding="utf-8")
