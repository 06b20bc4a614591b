"""Download one published JSONL file from the hub."""

import shutil
import tempfile
from typing import TYPE_CHECKING

from retcap import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.start(snakemake) as run, tempfile.TemporaryDirectory(dir=run.out.file.parent) as folder:
    from huggingface_hub import hf_hub_download

    params = snakemake.params
    found = hf_hub_download(
        params.repository, params.file, repo_type="dataset", revision=params.revision, local_dir=folder
    )
    shutil.move(found, run.out.file)
