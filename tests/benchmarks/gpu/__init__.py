"""What the GPU paths give and how fast they are, measured on the machine at hand: `python tests/benchmarks/gpu`.

Plain Python over the package: no Snakemake, no hub, no download. Models have their true sizes and random weights and
are built straight on the device; pictures and texts are generated. A machine needs torch, transformers, numpy, pyarrow
and safetensors, and the small wheels that `machine.CARRIED` names; what else is missing leaves parts out, with a
reason.

    python tests/benchmarks/gpu                                  the parts, and what is missing here for them
    python tests/benchmarks/gpu correctness training --out DIR   some parts, each under ten minutes
    python tests/benchmarks/gpu all --dry                        everything at toy size on the CPU, in seconds
    python tests/benchmarks/gpu estimates                        what the models should need, computed, not measured
    python tests/benchmarks/gpu render --out DIR                 write RESULTS.md again

Every case appends one line to DIR/measurements.jsonl when it ends, and RESULTS.md is written anew from all of them, so
a kill at any moment loses the case at work and nothing else; started again, what is measured already for the same
commit and device is passed over. The correctness part runs under `pytest -m gpu` too.
"""
