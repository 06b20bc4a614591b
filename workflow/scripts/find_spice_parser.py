"""Find Stanford CoreNLP for SPICE: in a folder of the user's own, or from Maven. Without it the reason is written."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from retcap.captions import corenlp
from retcap.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

SHARED = Path("results/data/spice")  # of all experiments, as downloads are

with job.start(snakemake) as run:
    own = snakemake.params.jars
    try:
        found = corenlp.of_folder(Path(own)) if own else corenlp.fetch(SHARED)
    except (OSError, ValueError) as error:  # a network that is out of reach is an OSError
        found = corenlp.CoreNLP(reason=f"{error} SPICE is tried again by the next run.")
        run.try_again("no parser for SPICE", same=datetime.now().isoformat())  # for as long as there is none
    found = msgspec.structs.replace(found, heap_mb=snakemake.params.heap_mb, parses=str(SHARED / "parses"))
    corenlp.write(found, run.out.found)
