"""The command line of the suite."""

import argparse
import logging
import tempfile
from importlib import import_module
from pathlib import Path

from gpu import machine

PARTS = {
    "correctness": "the GPU gives what the CPU gives: retriever, full memory, resuming, batches, leases, training",
    "training": "pairs per second of the trainer beside a bare loop, and what each option pays",
    "embedding": "rows per second of embedding beside the bare forward pass",
    "search": "exact search of 5,000 queries among 1,000,000 vectors beside the raw product",
    "captioners": "memory and seconds per caption of the eight captioners at true size",
    "features": "images and texts per second of CLIP towers",
    "prefix": "training of prefix captioners",
}
MINUTES = 9.0  # a part should end by itself where a command may take ten minutes
OUT = Path("results/benchmarks/gpu")


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 where a case failed or nothing can run here."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    if not options.what:
        return _overview()
    if lack := machine.lack():
        print(lack)
        return 1
    if options.what == ["estimates"]:
        from gpu import estimates

        print(estimates.text())
        return 0
    from gpu import rendering

    failed = 0
    if options.what != ["render"]:
        import torch

        if not options.dry and not torch.cuda.is_available():
            print("torch sees no GPU here. `--dry` runs everything at toy size on the CPU; `estimates` needs none.")
            return 1
        with tempfile.TemporaryDirectory(prefix="retcap-gpu-") as scratch:  # parts share what they generate
            for part in PARTS if options.what == ["all"] else options.what:
                failed += _run(part, options, Path(scratch))
                rendering.write(options.out)
    else:
        rendering.write(options.out)
    print(rendering.text(options.out))
    return 1 if failed else 0


def _run(part: str, options: argparse.Namespace, scratch: Path) -> int:
    import torch

    from gpu import cases

    context = cases.Context(torch.device("cpu" if options.dry else "cuda:0"), options.dry, scratch)
    about = machine.about(options.dry, options.commit)
    chosen = [case for case in import_module(f"gpu.{part}").cases() if options.only in case.name]
    return cases.run(part, chosen, context, options.out, about, 60 * options.minutes)


def _overview() -> int:
    print("Parts, each a command of its own:")
    for name, words in PARTS.items():
        print(f"  {name:12} {words}")
    print("  all          every part, one after another\n  estimates    needs of the models, computed")
    print("  render       write RESULTS.md again from the measurements")
    absent = {name: why for name, why in machine.OPTIONAL.items() if machine.missing((name,))}
    print(machine.lack() or "Nothing that the suite needs is missing here.")
    for name, why in absent.items():
        print(f"{name} is missing: {why}; such cases are left out.")
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/gpu", description=__doc__)
    parser.add_argument("what", nargs="*", help="parts, or all, estimates, render; nothing: an overview")
    parser.add_argument("--dry", action="store_true", help="toy sizes on the CPU: proves the suite, measures nothing")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder of the measurements; default {OUT}")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"budget of one part; default {MINUTES:g}")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--commit", help="commit of the code, where the copy at hand has no git folder")
    options = parser.parse_args(arguments)
    alone = {"all", "estimates", "render"} & set(options.what)
    if alone and len(options.what) > 1:
        parser.error(f"{', '.join(sorted(alone))} stands alone.")
    if unknown := sorted(set(options.what) - {*PARTS, "all", "estimates", "render"}):
        parser.error(f"no part is named {', '.join(unknown)}. Parts: {', '.join(PARTS)}, all, estimates, render.")
    return options
