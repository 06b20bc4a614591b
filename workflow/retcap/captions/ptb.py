"""Penn-Treebank tokens as the COCO caption metrics use them: lower case, without punctuation.

The tokeniser is the Stanford jar (3.4.1) inside pycocoevalcap, so the tokens are those of every published COCO score.
Text goes by stdin: pycocoevalcap's own wrapper writes a file into site-packages, and shifts every later caption by one
when a caption holds a line break other than LF. Here all whitespace is collapsed first, and a different number of
lines out than in is an error.

The tokeniser looks past the end of a line: whether the stop of "a dog with a." is its own token depends on the line
below ("A dog" or "a dog"). pycocoevalcap sends the captions one below the other, so a token of a published score may
hang on the order of the file. Here a line of our own follows each text, and its tokens are those it has alone.
"""

import logging
from collections.abc import Sequence

from retcap.captions import java

log = logging.getLogger(__name__)

VERSION = "stanford-3.4.1,alone"
JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
NEXT = "X"  # the line below each text: after it, endings are read as at the end of the input

# pycocoevalcap's list as it stands. The tokeniser lower-cases, so the four bracket names never match and brackets stay
# in the text as `-lrb-` and so on; published scores have them in, so ours do too.
PUNCTUATION = frozenset("'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split())  # noqa: SIM905  readable


def collapse_whitespace(text: str) -> str:
    """One line: every run of Unicode whitespace (CR, VT, FF, NEL, U+2028, no-break space ...) becomes one space.

    >>> collapse_whitespace("a red\\u2028 bus\\r\\n")
    'a red bus'
    """
    return " ".join(text.split())


def tokenise(texts: Sequence[str], timeout_s: float = 180.0) -> list[str]:
    """Tokens of each text, joined by single spaces. One JVM for all texts (about 0.3 s, then 10^5 tokens per second).

    A text without any word ("", " ", "...") gives "".
    """
    lines = [collapse_whitespace(text) for text in texts]
    # A line's tokens depend on that line alone, see NEXT, so repeated texts are sent once.
    distinct = sorted({line for line in lines if line})
    known = dict(zip(distinct, _run(distinct, timeout_s), strict=True)) if distinct else {}
    known[""] = ""
    return [known[line] for line in lines]


def _run(lines: list[str], timeout_s: float) -> list[str]:
    jar = java.find_jar(JAR)
    arguments = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    arguments += ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    text = "".join(f"{line}\n{NEXT}\n" for line in lines)
    out, errors = java.run(arguments, text, timeout_s + 0.002 * len(lines))
    for warning in errors.split("\n"):
        if "Untokenizable" in warning:  # emoji and the like: dropped from the tokens, the other words stay
            log.debug("PTB tokeniser: %s", warning)
    tokenised = out.split("\n")
    below = [line.rstrip().upper() for line in tokenised[1::2]]
    if below != [NEXT] * len(lines) or tokenised[2 * len(lines) :] != [""]:
        raise java.JavaError(
            f"The PTB tokeniser gave {len(tokenised) - 1} lines for {2 * len(lines)} (a caption and one of ours in "
            "turn), so captions and tokens cannot be matched. Look for control characters in the captions."
        )
    return [_without_punctuation(line) for line in tokenised[:-1:2]]


def _without_punctuation(line: str) -> str:
    return " ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION)
