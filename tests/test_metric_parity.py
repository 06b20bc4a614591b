"""Our caption metrics against pycocoevalcap and the METEOR jar: random text, real captions, corpus and items."""

import os
import random
import time

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer import ptbtokenizer

import real_data
from retcap import plugins
from retcap.captions import java, ptb, scoring
from retcap.captions.context import Context

WORDS = st.sampled_from(["a", "red", "blue", "bus", "cat", "on", "the", "road", "mat"])
SENTENCE = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
CAPTION = st.lists(WORDS, max_size=12).map(" ".join)
ITEMS = st.lists(st.tuples(CAPTION, st.lists(SENTENCE, min_size=1, max_size=5)), min_size=2, max_size=6)
EXACT = {"rel": 0, "abs": 1e-9}


class Spaces(Context):
    """Tokens are words between spaces: both sides get the same text without a JVM."""

    def ptb(self, texts):
        return list(texts)


def ours(metric, candidates, references, context=None):
    return plugins.load("metrics", metric).score(candidates, references, context or Spaces())


def coco(scorer, candidates, references):
    """Corpus value and item values of a pycocoevalcap scorer on tokenised text."""
    given, said = dict(enumerate(references)), {i: [text] for i, text in enumerate(candidates)}
    return scorer.compute_score(given, said, **({"verbose": 0} if isinstance(scorer, Bleu) else {}))


def assert_python_scorers_agree(candidates, references, context=None):
    words, others = (context or Spaces()).tokenised(candidates, references)
    bleu, bleu_items = coco(Bleu(4), words, others)
    for n, (key, result) in enumerate(ours("bleu_coco", candidates, references, context).items()):
        assert result.value == pytest.approx(bleu[n], **EXACT), key
        assert result.items.tolist() == pytest.approx(bleu_items[n], **EXACT), key
    for metric, key, scorer in (("rouge_l", "rougeL", Rouge()), ("cider", "cider", Cider())):
        value, items = coco(scorer, words, others)
        result = ours(metric, candidates, references, context)[key]
        assert result.value == pytest.approx(value, **EXACT)
        assert result.items.tolist() == pytest.approx(list(items), **EXACT)


@given(ITEMS)
@settings(max_examples=40, deadline=None)
def test_python_scorers_equal_pycocoevalcap(items):
    assert_python_scorers_agree(*map(list, zip(*items, strict=True)))


@given(st.lists(st.integers(0, 30), min_size=10, max_size=10))
@settings(max_examples=100, deadline=None)
def test_bleu_of_counts_equals_sacrebleu(numbers):
    """Also where an order has no match (smoothing) or no n-gram."""
    totals = sorted(numbers[6:], reverse=True)
    matches = [min(m, t) for m, t in zip(numbers[2:6], totals, strict=True)]
    counts = np.array([*numbers[:2], *matches, *totals])
    for key, effective in (("bleu4", False), ("bleu4_effective_order", True)):
        theirs = sacrebleu.BLEU.compute_bleu(
            list(matches), list(totals), numbers[0], numbers[1], smooth_method="exp", effective_order=effective
        )
        found = plugins.load("metrics", "bleu").from_statistics(key, counts)
        assert float(found) == pytest.approx(theirs.score / 100, **EXACT)


def test_fast_cider_equals_the_package_on_a_larger_corpus():
    """Zipf-like text, ragged references, a few empty captions; 300 items so that the join meets real collisions."""
    rng = random.Random(7)
    vocabulary = [f"w{int(rng.paretovariate(0.7))}" for _ in range(400)]

    def sentence():
        return " ".join(rng.choice(vocabulary) for _ in range(rng.randint(1, 25)))

    references = [[sentence() for _ in range(rng.randint(1, 7))] for _ in range(300)]
    candidates = ["" if i % 50 == 0 else rng.choice(references[i]) if i % 3 else sentence() for i in range(300)]
    assert_python_scorers_agree(candidates, references)


def test_tokeniser_equals_pycocoevalcap_on_clean_text(tmp_path, monkeypatch):
    """Its wrapper writes beside its own file and calls plain `java`: both are led to a private folder."""
    (tmp_path / "stanford-corenlp-3.4.1.jar").symlink_to(java.find_jar(ptb.JAR))
    monkeypatch.setattr(ptbtokenizer, "__file__", str(tmp_path / "ptbtokenizer.py"))
    monkeypatch.setenv("PATH", f"{java.find_java().parent}{os.pathsep}{os.environ['PATH']}")
    texts = ["A Red, car's (big) pano... isn't it?", 'at 5 p.m. Then -- "we" left; e.g. home', "6 1/2 km @ $5, U.S."]
    texts += real_captions()[:400] if real_captions() else []
    theirs = ptbtokenizer.PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    assert ptb.tokenise(texts) == [theirs[i][0] for i in range(len(texts))]


# ---------------------------------------------------------------- METEOR, one jar for all tests


@pytest.fixture(scope="module")
def warm():
    with Context() as context:
        yield context


CLEAN = [
    ("a red bus", ["a red bus on the road"]),
    ("a red bus on the road", ["a red bus on the road"]),  # perfect: no chunk
    ("", ["a cat on a mat"]),
    ("the children run quickly", ["kids running fast", "a child runs"]),  # stems, synonyms, paraphrases
    ("the road the bus", ["the bus on the road", "a street", "buses"]),
    ("a dog", ["two cats"]),
    ("a man rides a horse", ["a man rides a horse", "a person on a horse"]),
]


@pytest.mark.slow
def test_meteor_equals_the_jar_from_statistics(warm):
    candidates, references = map(list, zip(*CLEAN, strict=True))
    result = ours("meteor", candidates, references, warm)["meteor"]
    assert result.items[0] == pytest.approx(0.32253203916506945, abs=1e-15)
    assert result.items[1] == 1.0
    assert result.items[2] == 0.0
    value, items = evaluate(warm, candidates, references)
    assert result.items.tolist() == pytest.approx(items, abs=1e-12)
    assert result.value == pytest.approx(value, abs=1e-12)
    assert result.value != pytest.approx(float(result.items.mean()), abs=1e-3)  # aggregated, not averaged


def evaluate(context, candidates, references):
    """The jar's own EVAL of the same alignments: (corpus value, item values)."""
    meteor = plugins.load("metrics", "meteor")
    words, others = context.tokenised(candidates, references)
    aligner = context.keep("meteor", lambda: meteor.Aligner(context.timeout_s))
    child = aligner._start()
    answers = child.ask([meteor._question(text, texts) for text, texts in zip(words, others, strict=True)])
    child._write(("EVAL ||| " + " ||| ".join(answers) + "\n").encode())
    lines = [float(child._lines.get(timeout=context.timeout_s)) for _ in range(len(answers) + 1)]
    return lines[-1], lines[:-1]


@pytest.mark.slow
def test_meteor_survives_what_breaks_pycocoevalcap(warm):
    """Untokenised text, as PTB would split `|||`: a separator or a line break puts its pipe out of step."""
    aligner = warm.keep("meteor", lambda: plugins.load("metrics", "meteor").Aligner(warm.timeout_s))
    clean = aligner.statistics(["a red bus", "a cat", "on"], [["a red bus"], ["a cat"], ["one", "on"]])
    odd = aligner.statistics(["a red\nbus", "a\u2028|||cat", "on"], [["a ||| red bus"], ["a\r\ncat"], ["one", "on"]])
    assert odd.tolist() == clean.tolist()
    assert clean[:, 0].tolist() == [3, 2, 1]


@pytest.mark.slow
def test_meteor_equals_pycocoevalcap_on_clean_text(warm, monkeypatch):
    monkeypatch.setenv("PATH", f"{java.find_java().parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    candidates, references = map(list, zip(*CLEAN, strict=True))
    words, others = warm.tokenised(candidates, references)
    value, items = coco(Meteor(), words, others)
    result = ours("meteor", candidates, references, warm)["meteor"]
    assert result.items.tolist() == pytest.approx(items, abs=1e-12)
    assert result.value == pytest.approx(value, abs=1e-12)


# ---------------------------------------------------------------- real captions


def real_pairs():
    """(image, references) of every pair of the QuIC-360 sample that is there, else []."""
    pd = pytest.importorskip("pandas")
    path = real_data.folder("quic360") / "test_head.csv"
    if not path.is_file():
        return []
    table = pd.read_csv(path, keep_default_na=False)
    table = table[table["annotation"].str.strip() != ""]
    return [(image, list(rows["annotation"])) for (image, _), rows in table.groupby(["url", "query"], sort=False)]


def real_captions():
    return [text for _, texts in real_pairs() for text in texts]


def one_held_out():
    """One reference of every pair as a caption, and items with the others, so that the scores are those of people."""
    import pandas as pd

    rng = np.random.default_rng(0)
    items, captions = [], []
    for number, (image, texts) in enumerate(pair for pair in real_pairs() if len(pair[1]) > 1):
        chosen = int(rng.integers(len(texts)))
        rest = texts[:chosen] + texts[chosen + 1 :]
        items.append({"item_id": str(number), "image": image, "image_key": None, "references": rest})
        captions.append({"item_id": str(number), "raw": texts[chosen], "status": "ok"})
    return pd.DataFrame(items), pd.DataFrame(captions)


needs_data = pytest.mark.skipif(not real_pairs(), reason="QuIC-360 sample not found; set RETCAP_TEST_DATA")


@needs_data
def test_python_scorers_equal_pycocoevalcap_on_human_captions():
    items, captions = one_held_out()
    assert len(items) > 100
    with Context() as context:
        assert_python_scorers_agree(captions["raw"].tolist(), items["references"].tolist(), context)


@needs_data
@pytest.mark.slow
def test_human_captions_score_as_measured_elsewhere(warm):
    """On 1,162 pairs of the full split others measured .0717 COCO BLEU-4, .1435 METEOR, .2808 ROUGE-L, .1678 CIDEr."""
    items, captions = one_held_out()
    started = time.monotonic()
    names = ["bleu", "bleu_coco", "meteor", "rouge_l", "cider", "spice"]
    scores = scoring.score_captions(items, captions, names, warm)
    found = scoring.report(scores, rng=np.random.default_rng(1))
    detail = {key: (entry["value"], entry["ci_low"], entry["ci_high"]) for key, entry in found["details"].items()}
    print(found["num_samples"], found["bootstrap"]["images"], f"{time.monotonic() - started:.1f} s", detail)
    for key, elsewhere in (("bleu4_coco", 0.0717), ("meteor", 0.1435), ("rougeL", 0.2808)):
        value, low, high = detail[key]
        assert low < value < high
        assert low < elsewhere < high  # their split contains this sample: its interval should cover their value
    value, items_ = evaluate(warm, captions["raw"].tolist(), items["references"].tolist())
    assert found["metrics"]["meteor"] == pytest.approx(value, abs=1e-12)
    assert len(items_) == found["num_samples"]
