"""Puts the report together: reads, computes, renders one HTML page that needs nothing else."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2

from retcap.report import captioning, jobs, palette, retrieval, summary, wording
from retcap.report.inputs import ReportInputs

TEMPLATES = Path(__file__).parents[2] / "report"


def build_report(inputs: ReportInputs) -> str:
    """The report as HTML text. Equal inputs give equal text, byte for byte."""
    sections: dict[str, Any] = {
        "retrieval": None if inputs.retrieval is None else retrieval.section(inputs.retrieval, inputs.experiment),
        "captioning": None if inputs.captioning is None else captioning.section(inputs.captioning),
        "provenance": None,
    }
    if inputs.provenance is not None or inputs.config is not None:
        sections["provenance"] = jobs.section(inputs.provenance, inputs.config, inputs.known)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8").strip()
    # The page allows this one script by its hash, so that a script smuggled in through data would not run even if an
    # escape were forgotten somewhere.
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page, said = environment().get_template("page.html"), paragraphs(sections)
    return page.render(inputs=inputs, summary=said, script=script, script_hash=script_hash, **sections)


def paragraphs(sections: dict[str, Any]) -> list[str]:
    """The opening in words, one paragraph per study."""
    said: list[list[str]] = []
    if sections["retrieval"]:
        said.append(summary.retrieval(sections["retrieval"]))
    if sections["captioning"]:
        said.append(summary.captioning(sections["captioning"]))
    failed = (sections["provenance"] or {}).get("failed") or []
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
