"""Download one published JSONL file from the hub."""

import shutil
import tempfile
from typing import TYPE_CHECKING

from retcap.jobs import hub, job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run, tempfile.TemporaryDirectory(dir=run.out.file.parent) as folder:
    from huggingface_hub import hf_hub_download

    params = snakemake.params
    what = f"{params.file} of the hub data set {params.repository} (revision {params.revision or 'main'})"
    remedy = (
        f"Put the file at {snakemake.output.file}, or name your own copy in retrieval.datasets; "
        "the repository and its revision are keys of retrieval.download."
    )
    found = hub.download(
        lambda: hf_hub_download(
            params.repository, params.file, repo_type="dataset", revision=params.revision, local_dir=folder
        ),
        what,
        remedy,
    )
    shutil.move(found, run.out.file)
