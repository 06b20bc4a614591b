"""How long the caption scores of a study take, beside one pass of pycocoevalcap per model: the same numbers.

    python tests/benchmarks/score_captions.py --models 8 --items 1200 --references 5

Captions are drawn from a vocabulary with Zipf's frequencies; of every model a third are references with words changed.
BLEU-1 to 4, METEOR, ROUGE-L and CIDEr of both sides are compared, to 1e-9. Here every model has a context of its own,
as its job has; what the rule `count_caption_ngrams` makes once per study (tokens, n-gram counts, METEOR's table) is
counted once. SPICE is apart: its time is parsing, which is done once per distinct text and kept. Times are CPU seconds
of this process and its Java children. Two cores of a cloud machine, busy with other work, gave for eight models

    pycocoevalcap, CPU s             239.9   30.0 per model
    here, CPU s                       91.4   11.8 once, 9.9 per model
    2.6 times as fast
"""

import argparse
import os
import random
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer import ptbtokenizer

from retcap import plugins
from retcap.captions import frequencies, java, ptb, reference_texts
from retcap.captions.context import Context

METRICS = ("bleu_coco", "meteor", "rouge_l", "cider")
KEYS = ("bleu1_coco", "bleu2_coco", "bleu3_coco", "bleu4_coco", "meteor", "rougeL", "cider")


def main() -> None:
    arguments = parse()
    rng = random.Random(0)
    references = [[sentence(rng) for _ in range(arguments.references)] for _ in range(arguments.items)]
    models = [[caption(rng, texts) for texts in references] for _ in range(arguments.models)]
    print(f"{arguments.models} models x {arguments.items} items x {arguments.references} references")
    with tempfile.TemporaryDirectory() as folder:
        theirs, there = timed(lambda: [coco(said, references, Path(folder)) for said in models])
        prepared, once = timed(lambda: prepare(references, Path(folder)))
        ours, here = timed(lambda: [score(said, references, *prepared) for said in models])
    print(f"pycocoevalcap, CPU s          {there:8.1f}   {there / len(models):.1f} per model")
    print(f"here, CPU s                   {once + here:8.1f}   {once:.1f} once, {here / len(models):.1f} per model")
    print(f"{there / (once + here):.1f} times as fast")
    for one, other in zip(ours, theirs, strict=True):
        for key in KEYS:
            assert abs(one[key] - other[key]) < 1e-9, (key, one[key], other[key])
    print(f"all {len(models) * len(KEYS)} values are equal")


def prepare(references: list[list[str]], folder: Path) -> tuple[Any, Any]:
    """What a study makes once."""
    with Context() as context:
        counted = frequencies.build(references, context)
        reference_texts.write(references, context, folder / "tokens.json", folder / "table.gz", meteor=True)
    frequencies.write(counted, folder / "frequencies.json")
    return folder, counted


def score(said: list[str], references: list[list[str]], folder: Path, _: Any) -> dict[str, float]:
    """One model as its job scores it: everything is read from the files of the study."""
    texts = reference_texts.read(folder / "tokens.json", folder / "table.gz")
    found: dict[str, float] = {}
    with Context(frequencies.read(folder / "frequencies.json"), references=texts) as context:
        for metric in METRICS:
            results = plugins.load("metrics", metric).score(said, references, context)
            found |= {key: result.value for key, result in results.items()}
    return found


def coco(said: list[str], references: list[list[str]], folder: Path) -> dict[str, float]:
    """One pass of pycocoevalcap, its tokeniser writing into a folder of ours and its Java found on PATH."""
    jar = folder / "stanford-corenlp-3.4.1.jar"
    if not jar.exists():
        jar.symlink_to(java.find_jar(ptb.JAR))
        os.environ["PATH"] = f"{java.find_java().parent}{os.pathsep}{os.environ['PATH']}"
    ptbtokenizer.__file__ = str(folder / "ptbtokenizer.py")
    tokenizer = ptbtokenizer.PTBTokenizer()
    given = tokenizer.tokenize({i: [{"caption": text} for text in texts] for i, texts in enumerate(references)})
    own = tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(said)})
    bleu, _ = Bleu(4).compute_score(given, own, verbose=0)
    meteor = Meteor()
    values = [*bleu, meteor.compute_score(given, own)[0]]
    meteor.meteor_p.stdin.close()
    meteor.meteor_p.wait()  # a child's CPU time counts when it has ended
    values += [scorer.compute_score(given, own)[0] for scorer in (Rouge(), Cider())]
    return dict(zip(KEYS, map(float, values), strict=True))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work gives, and the CPU seconds of this process and of the children that ended."""
    before = seconds()
    result = work()
    return result, seconds() - before


def seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


COMMON = (
    "a the of on in with and is are two red blue old small large man woman people bus car street road tree building"
)
NAMES = [*COMMON.split(), *(f"word{n}" for n in range(3000))]


def sentence(rng: random.Random) -> str:
    """About 20 words, as on QuIC-360.

    No full stop: what the tokeniser makes of one after a letter ("a.", "St.") hangs on the next line too, and the two
    sides have other next lines.
    """
    words = [NAMES[min(int(rng.paretovariate(0.6)) - 1, len(NAMES) - 1)] for _ in range(rng.randint(8, 32))]
    return " ".join(words).capitalize()


def caption(rng: random.Random, texts: list[str]) -> str:
    """A reference with words changed, or anything."""
    if rng.random() > 1 / 3:
        return sentence(rng)
    return " ".join(word if rng.random() < 0.8 else rng.choice(NAMES) for word in rng.choice(texts).split())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--items", type=int, default=1200)
    parser.add_argument("--references", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
