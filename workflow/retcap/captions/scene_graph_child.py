"""The SPICE jar in a Python process of its own, which answers one JSON line per JSON line.

    {"parse": [text, ...]}                              -> {"tuples": [[[word, ...], ...], ...]}
    {"tuples": {text: tuples}, "score": [[text, [text, ...]], ...]}   -> {"f": [F-score, ...]}; tuples are remembered
    anything that goes wrong                            -> {"error": reason}

The jar's own main writes its result with a JavaScript engine, which no Java from 15 on has, after all the parsing. So
its classes are called one by one here: `SpiceParser.parseAnnotation` for the tuples of a text, `SceneGraph`, `TupleSet`
and `Evaluation` for the score. The parsing pipeline is the jar's without named entities: their tags are never read.

Run by path and not as a module, so that it needs the standard library and JPype alone: arguments are the heap in MB and
the jars of the class path. JAVA_HOME says which Java.
"""

import json
import os
import sys
from typing import Any

FLAGS = (
    "-Duser.language=en",
    "-Duser.country=US",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    "-XX:+UseSerialGC",
    "--enable-native-access=ALL-UNNAMED",  # JPype's own library, against a warning
)
ANNOTATORS = "tokenize,ssplit,parse,lemma"  # the jar's are these and ner
UNPARSED = "X"  # root label of the flat tree that the parser gives where memory or time ran out


class Jar:
    """The classes of the jar. The parser's models (a few seconds) are loaded with the first text."""

    def __init__(self, heap_mb: int, jars: list[str]):
        import jpype

        jpype.startJVM(*FLAGS, f"-Xmx{heap_mb}m", classpath=jars, convertStrings=False)
        self._class = jpype.JClass
        self._list = jpype.JClass("java.util.ArrayList")
        self._spice = {
            name: jpype.JClass(f"edu.anu.spice.{name}")
            for name in ("SpiceParser", "SceneGraph", "TupleSet", "Evaluation")
        }
        parser = self._spice["SpiceParser"](None, 1, True)
        self._parser = parser
        self._synonyms = self._field(parser, "synonyms")
        self._read = self._method("parseAnnotation")
        self._tuples_of = jpype.JClass("edu.anu.spice.SpiceParser$ProposedTuples").class_.getDeclaredField("tuples")
        self._tuples_of.setAccessible(True)
        self._pipeline: Any = None
        self._known: dict[str, Any] = {}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answer to one question."""
        if "parse" in question:
            return {"tuples": [self._parse(text) for text in question["parse"]]}
        for text, tuples in question["tuples"].items():
            self._known[text] = [self._list(words) for words in tuples]
        return {"f": [self._score(text, others) for text, others in question["score"]]}

    def _parse(self, text: str) -> list[list[str]]:
        if self._pipeline is None:
            self._pipeline = self._start()
        annotation = self._class("edu.stanford.nlp.pipeline.Annotation")(text)
        self._pipeline.annotate(annotation)
        tree = self._class("edu.stanford.nlp.trees.TreeCoreAnnotations$TreeAnnotation").class_
        for sentence in annotation.get(self._class("edu.stanford.nlp.ling.CoreAnnotations$SentencesAnnotation").class_):
            if str(sentence.get(tree).value()) == UNPARSED:
                raise MemoryError(
                    f"The parser gave up on a text of {len(text.split())} words; it begins {text[:80]!r}. "
                    "More memory may help: captioning.spice.heap_mb."
                )
        proposed = self._read.invoke(self._parser, [annotation])
        return [[str(word) for word in words] for words in self._tuples_of.get(proposed)]

    def _score(self, text: str, others: list[str]) -> float:
        one, all_of_them = self._graph([text]), self._graph(others)
        return float(self._spice["Evaluation"](one, all_of_them, False, True).f)

    def _graph(self, texts: list[str]) -> Any:
        """The tuples of all texts merged into one scene graph."""
        graph = self._spice["SceneGraph"](self._synonyms, True)
        for text in texts:
            for words in self._known[text]:
                graph.addTuple(words)
        return self._spice["TupleSet"](graph)

    def _start(self) -> Any:
        properties = self._class("java.util.Properties")()
        properties.setProperty("annotators", ANNOTATORS)
        properties.setProperty("depparse.extradependencies", "MAXIMAL")
        properties.setProperty("threads", "1")
        return self._class("edu.stanford.nlp.pipeline.StanfordCoreNLP")(properties)

    def _field(self, owner: Any, name: str) -> Any:
        field = owner.getClass().getDeclaredField(name)
        field.setAccessible(True)
        return field.get(owner)

    def _method(self, name: str) -> Any:
        [method] = [one for one in self._spice["SpiceParser"].class_.getDeclaredMethods() if one.getName() == name]
        method.setAccessible(True)
        return method


def main() -> None:
    """Answer until the input ends, which it also does when the parent was killed."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the jars print is no answer
    jar = Jar(int(sys.argv[1]), sys.argv[2:])
    for line in sys.stdin.buffer:
        try:
            answer = jar.answer(json.loads(line))
        except Exception as error:  # Java's too
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:600]}
        answers.write(json.dumps(answer, ensure_ascii=True) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
