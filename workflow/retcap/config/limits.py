"""The largest value of a number and the reason, for keys where a slip of the hand floods disk, memory or queue.

Each is far beyond what a study needs; whoever needs more raises it here.
"""

from typing import Final

Limit = tuple[float, str]

ACCUMULATION: Final[Limit] = (10_000, "the optimiser would hardly ever step")
BATCH: Final[Limit] = (131_072, "twice the largest batch of a published CLIP, 65,536")
DEPTH: Final[Limit] = (100_000, "every passage kept is a row of the hits, for each query and system")
DEVICES: Final[Limit] = (64, "torchrun starts them on one machine")
DRAWS: Final[Limit] = (100_000, "memory grows with draws times pictures, and 10,000 give an interval to two digits")
EPOCHS: Final[Limit] = (10_000, "the schedule would never come to its end")
EXAMPLES: Final[Limit] = (500, "their pictures lie in the page itself")
HELD_OUT: Final[Limit] = (20, "data sets have fewer references per pair, and every draw scores all systems once more")
MEMORY: Final[Limit] = (4_000_000, "it is a number of megabytes, so this is 4 TB")
PIXELS: Final[Limit] = (16_384, "a picture of this side has 268 million pixels, 800 MB")
RATE: Final[Limit] = (10.0, "AdamW moves every weight by about this much at each step")
ROWS: Final[Limit] = (100_000_000, "no data set has that many rows")
SEEDS: Final[Limit] = (2**32 - 1, "NumPy takes seeds of 32 bits only")
SHARDS: Final[Limit] = (
    1_000,
    "every shard is a job of its own for each data set and system, and takes seconds to start",
)
STEPS: Final[Limit] = (100_000_000, "a training of a thousand steps per second would take a day")
TOKENS: Final[Limit] = (4_096, "no captioner's context is longer")
WEIGHT: Final[Limit] = (1_000, "an epoch lists every training row that often")
WORKERS: Final[Limit] = (64, "every worker is a process per device, with its own copy of the loader")
WORLD_IMAGES: Final[Limit] = (1_000_000, "drawing that many takes the better part of an hour and 20 GB")
