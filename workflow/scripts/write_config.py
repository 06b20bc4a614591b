"""Write the resolved configuration beside the results."""

from typing import TYPE_CHECKING

import yaml

from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run:
    text = yaml.safe_dump(snakemake.config, sort_keys=False, allow_unicode=True)
    run.out.resolved.write_text(text, encoding="utf-8")
