"""Puts the report together: reads, computes, renders one HTML page that needs nothing else."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from retcap.report import jobs, palette, studies, wording
from retcap.report.inputs import ReportInputs

TEMPLATES = Path(__file__).parents[2] / "report"


def build_report(inputs: ReportInputs) -> str:
    """The report as HTML text. Equal inputs give equal text, byte for byte."""
    env, built = environment(), []
    for name, own in inputs.studies.items():
        module = studies.load(name)
        section = module.section(own, inputs.experiment)
        html = env.get_template(f"studies/{name}.html").render(inputs=inputs, **{name: section})
        contents, said = module.contents(section), module.opening(section)
        built.append({"name": name, "html": markupsafe.Markup(html), "contents": contents, "opening": said})
    provenance = None
    if inputs.provenance is not None or inputs.config is not None:
        provenance = jobs.section(inputs.provenance, inputs.config, inputs.known)
    said = paragraphs([study["opening"] for study in built], provenance or {})
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8").strip()
    # The page allows this one script by its hash, so that a script smuggled in through data would not run even if an
    # escape were forgotten somewhere.
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return env.get_template("page.html").render(
        inputs=inputs, summary=said, script=script, script_hash=script_hash, studies=built, provenance=provenance
    )


def paragraphs(openings: Sequence[list[str]], provenance: Mapping[str, Any]) -> list[str]:
    """The opening in words, one paragraph per study."""
    said = list(openings)
    failed = provenance.get("failed") or []
    if failed:
        marks = "marks it" if len(failed) == 1 else "marks them"
        said.append([f"{wording.plural(len(failed), 'job')} of this run failed; the provenance table {marks}."])
    return [" ".join(sentences) for sentences in said if sentences]


def environment() -> jinja2.Environment:
    """Jinja set up so that everything is escaped and a misspelt name is an error."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    env = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.globals["light"], env.globals["dark"] = palette.LIGHT, palette.DARK
    for word in ("number", "signed", "percent", "interval", "count", "duration", "plural", "cut"):
        env.filters[word] = getattr(wording, word)
    return env
