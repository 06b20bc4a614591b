"""What the caption metrics need: Java, the jars of pycocoevalcap, METEOR's start, the parser of SPICE."""

import gzip
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retcap.captions import corenlp, java
from retcap.doctor.findings import Finding, bad, good, note

SHAPES_RESULTS = False  # see retcap.reruns.digest
METEOR = ("meteor/meteor-1.5.jar", "meteor/data/paraphrase-en.gz")
METEOR_HEAP_MB = 2048
START_S = 60.0
SHARED = "results/data/spice"  # where the rule find_spice_parser puts what it fetches
TOKENIZER = "tokenizer/stanford-corenlp-3.4.1.jar"
USES_PTB = {"bleu_coco", "meteor", "rouge_l", "cider", "spice"}


def scoring(config: dict[str, Any]) -> Iterator[Finding]:
    """Findings on every tool that the metrics of the configuration need."""
    wanted = set(config["captioning"]["metrics"]) if "captioning" in config["studies"] else set()
    if not wanted & USES_PTB:
        return
    try:
        yield good(f"Java {java_version()} ({java.find_java()})")
        java.find_jar(TOKENIZER)
    except (java.JavaError, OSError) as error:
        lost = ", ".join(sorted(wanted & USES_PTB))
        yield bad(f"No value of {lost}: {error}", "`uv sync` brings Java and the jars with the environment.")
        return
    if "meteor" in wanted:
        yield _meteor()
    if "spice" in wanted:
        yield _spice(config["captioning"]["spice"])


def java_version() -> str:
    """The first words of `java -version`; JavaError where it does not start."""
    done = subprocess.run(
        [str(java.find_java()), "-version"], capture_output=True, text=True, timeout=START_S, check=False
    )
    if done.returncode != 0:
        raise java.JavaError(f"{java.find_java()} does not start: {done.stderr.strip()[:200]}")
    words = done.stderr.split('"')
    return words[1] if len(words) > 1 else done.stderr.partition("\n")[0].strip()


def _meteor() -> Finding:
    """METEOR, started as the metric starts it, but without a paraphrase, which takes one second instead of ten."""
    try:
        jar, _ = (java.find_jar(name) for name in METEOR)
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder, "none.gz")
            table.write_bytes(gzip.compress(b""))
            arguments = ["-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm", "-a", str(table)]
            child = java.Dialogue(java.command(arguments, METEOR_HEAP_MB), START_S)
            try:
                child.ask(["SCORE ||| a red bus ||| a bus that is red"])
            finally:
                child.close()
    except (java.JavaError, OSError) as error:
        remedy = f"It needs {METEOR_HEAP_MB} MB of memory, and the jar that `uv sync` brings with pycocoevalcap."
        return bad(f"METEOR does not start: {error}", remedy)
    return good("METEOR 1.5 starts and answers")


def _spice(own: dict[str, Any]) -> Finding:
    """The parser of SPICE, as far as it can be seen without fetching it."""
    folder = Path(own["jars"] or SHARED)
    if not own["jars"] and not own["download"]:
        return note(
            "SPICE will have no value: its parser, CoreNLP 3.6.0, is not asked for.",
            "Set captioning.spice.download (385 MB from Maven, once), captioning.spice.jars, or leave `spice` out.",
        )
    try:
        corenlp.of_folder(folder)
    except ValueError as error:
        return bad(f"SPICE: {error}", f"Delete the file in {folder}; the run fetches it anew, or fetch it yourself.")
    except FileNotFoundError as error:
        if own["jars"]:
            return bad(f"SPICE: {error}", "Correct captioning.spice.jars, or set captioning.spice.download.")
        return note("SPICE: the run will fetch CoreNLP 3.6.0 (385 MB) from Maven first.")
    return good(f"SPICE: CoreNLP 3.6.0 lies in {folder}, with the published hashes")
