"""The SPICE jar's own way through a file of items: `JAVA_HOME=... python spice_original.py items scores jar...`

`SpiceScorer.scoreBatch` reads the items ([{image_id, test, refs}]), parses with the jar's own pipeline (named entities
included) and scores. Its statistics are taken as JSON from it, because its `-out` needs a JavaScript engine.
"""

import json
import sys
from pathlib import Path

import jpype

items, scores, *jars = sys.argv[1:]
jpype.startJVM("-Xmx3g", "-Duser.language=en", "-Duser.country=US", classpath=jars, convertStrings=False)
Scorer, Arguments = (jpype.JClass(f"edu.anu.spice.{name}") for name in ("SpiceScorer", "SpiceArguments"))


def made(kind, arguments):
    """An object of a class whose constructor is not public."""
    for one in kind.class_.getDeclaredConstructors():
        if len(one.getParameterTypes()) == len(arguments):
            one.setAccessible(True)
            return jpype.JObject(one.newInstance(jpype.JArray(jpype.JObject)(arguments)), kind)
    raise LookupError(kind)


scorer = made(Scorer, [])
scorer.scoreBatch(made(Arguments, [jpype.JArray(jpype.JString)([items, "-threads", "1", "-silent"])]))
found = {one["image_id"]: one["scores"]["All"]["f"] for one in json.loads(str(scorer.stats.toJSONString()))}
Path(scores).write_text(json.dumps(found))
