"""Scene graphs of captions, parsed once per distinct text, and the F-scores between them: what SPICE is made of.

Parsing takes 0.1 s per caption and all else next to nothing, so the tuples of every text are kept in a file that all
systems of a study share, and later runs too. One process parses at a time; another one waits and then finds what the
first has parsed. A text's tuples depend on the text and the parser alone, so a line is never out of date.
"""

import contextlib
import fcntl
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from retcap.captions import corenlp, java, scene_graph_child
from retcap.captions.corenlp import CoreNLP

JAR = "spice/spice-1.0.jar"  # its libraries lie in lib/ beside it
OWN_COPIES = ("stanford-corenlp", "junit", "hamcrest", "lmdbjni")  # what must not come from there, or is not needed
PARSED_AT_ONCE = 16  # texts per question to the child: its time limit is per question, and a kill loses one
SCORED_AT_ONCE = 500

Tuples = list[list[str]]


class SceneGraphs:
    """A memory of tuples with a Java child behind it that starts when it is needed."""

    def __init__(self, found: CoreNLP, timeout_s: float):
        self._found, self._timeout_s = found, timeout_s
        self._child: java.Dialogue | None = None
        self._known: dict[str, Tuples] = {"": []}  # a text without words has no tuples
        self._sent: set[str] = set()  # texts whose tuples the child has
        self._file = Path(found.parses) / f"{parser_version()}.jsonl" if found.parses else None
        self._read_up_to = 0

    def f_scores(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """F-score of every item between its candidate's graph and the merged graph of its references, 0 to 1."""
        self.parse([*candidates, *(text for texts in references for text in texts)])
        scores: list[float] = []
        for start in range(0, len(candidates), SCORED_AT_ONCE):
            part = slice(start, start + SCORED_AT_ONCE)
            items = [[text, list(others)] for text, others in zip(candidates[part], references[part], strict=True)]
            needed = dict.fromkeys(text for text, others in items for text in (text, *others))
            new = {text: self._known[text] for text in needed if text not in self._sent}
            scores += self._ask({"tuples": new, "score": items})["f"]
            self._sent.update(new)
        return scores

    def parse(self, texts: Iterable[str]) -> None:
        """Have the tuples of every text. JavaError where the child fails; what it had parsed is kept."""
        wanted = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not wanted:
            return
        with self._alone() as file:
            self._read(file)
            missing = [text for text in wanted if text not in self._known]
            for start in range(0, len(missing), PARSED_AT_ONCE):
                part = missing[start : start + PARSED_AT_ONCE]
                parsed = dict(zip(part, self._ask({"parse": part})["tuples"], strict=True))
                self._known |= parsed
                if file is not None:
                    lines = [json.dumps({"text": text, "tuples": tuples}) for text, tuples in parsed.items()]
                    file.write("".join(f"{line}\n" for line in lines).encode())
                    file.flush()
                    self._read_up_to = file.tell()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()
            self._child = None
            self._sent.clear()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[Any]:
        """The file of parses, ours alone until the block ends: the kernel frees the lock of a process that dies."""
        if self._file is None:
            yield None
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with open(self._file, "a+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield file

    def _read(self, file: Any) -> None:
        """What others have parsed since we looked last. A line that a killed process left unfinished is cut off."""
        if file is None:
            return
        file.seek(self._read_up_to)
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(self._read_up_to)
                break
            entry = json.loads(line)
            self._known[entry["text"]] = entry["tuples"]
            self._read_up_to += len(line)
        file.seek(self._read_up_to)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if self._child is None:
            script = str(Path(scene_graph_child.__file__))
            command = [sys.executable, "-P", script, str(self._found.heap_mb), *class_path(self._found)]
            self._child = java.Dialogue(command, self._timeout_s)
        try:
            [line] = self._child.ask([json.dumps(question)])
            answer = json.loads(line)
        except (java.JavaError, json.JSONDecodeError) as error:
            self.close()
            raise java.JavaError(f"The SPICE parser ended: {error}") from error
        if "error" in answer:
            raise java.JavaError(f"The SPICE parser failed: {answer['error']}")
        return answer


def parser_version() -> str:
    """12 hex digits that change with whatever decides the tuples of a text."""
    facts = [*corenlp.SHA256.values(), scene_graph_child.ANNOTATORS, Path(JAR).name]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def class_path(found: CoreNLP) -> list[str]:
    """The SPICE jar and its libraries from pycocoevalcap, and CoreNLP from where it was put."""
    jar = java.find_jar(JAR)
    libraries = sorted(path for path in (jar.parent / "lib").glob("*.jar") if not path.name.startswith(OWN_COPIES))
    missing = [path for path in found.jars if not Path(path).is_file()]
    if missing:
        raise java.JavaError(f"{missing[0]} is gone since it was found: delete spice_parser.json, and run again.")
    return [str(Path(path).resolve()) for path in (jar, *libraries, *found.jars)]  # the child runs in another folder
